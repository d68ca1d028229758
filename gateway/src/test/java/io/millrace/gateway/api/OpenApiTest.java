package io.millrace.gateway.api;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.SoftAssertions.assertSoftly;

import io.millrace.gateway.testing.Gateway;
import io.millrace.gateway.testing.GatewayFixture;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Consumer;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.springframework.core.io.Resource;
import org.springframework.http.HttpMethod;
import org.springframework.web.reactive.function.server.HandlerFunction;
import org.springframework.web.reactive.function.server.RequestPredicate;
import org.springframework.web.reactive.function.server.RequestPredicates;
import org.springframework.web.reactive.function.server.RouterFunction;
import org.springframework.web.reactive.function.server.RouterFunctions;
import org.springframework.web.reactive.function.server.ServerRequest;
import reactor.core.publisher.Mono;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.JsonNodeFactory;
import tools.jackson.databind.node.ObjectNode;

/** The document of the API has the paths that the gateway routes, and the fields that it reads. */
@ExtendWith(GatewayFixture.class)
class OpenApiTest {

    private static final JsonMapper JSON = new JsonMapper();

    private final JsonNode document = JSON.readTree(ApiDocument.resource(ApiDocument.OPENAPI));

    /** Remembers what it is asked for, and what the objects within it are. */
    private static final class Recording extends ObjectNode {

        private static final long serialVersionUID = 1L;

        private final String place;
        private final transient Set<String> asked;

        Recording(JsonNode fields, String place, Set<String> asked) {
            super(JsonNodeFactory.instance, new LinkedHashMap<>());
            this.place = place;
            this.asked = asked;
            fields.properties()
                    .forEach(each -> set(each.getKey(), within(each.getValue(), place + each.getKey(), asked)));
        }

        private static JsonNode within(JsonNode value, String place, Set<String> asked) {
            if (value.isObject()) {
                return new Recording(value, place + ".", asked);
            }
            if (!value.isArray()) {
                return value;
            }
            ArrayNode list = JsonNodeFactory.instance.arrayNode();
            value.forEach(each -> list.add(within(each, place + "[]", asked)));
            return list;
        }

        @Override
        public @Nullable JsonNode get(String name) {
            asked.add(place + name);
            return super.get(name);
        }

        @Override
        public JsonNode path(String name) {
            asked.add(place + name);
            return super.path(name);
        }
    }

    /** What a reader asks of a body. */
    private static SortedSet<String> read(Consumer<Json.Body> reader, String body) {
        SortedSet<String> asked = new TreeSet<>(all(reader, body));
        asked.removeIf(name -> name.contains(".") || name.contains("["));
        return asked;
    }

    /** The same with what is asked of the objects within it. */
    private static Set<String> all(Consumer<Json.Body> reader, String body) {
        String text = body.replace('\'', '"');
        Set<String> asked = new HashSet<>();
        reader.accept(new Json.Body(text, new Recording(JSON.readTree(text), "", asked)));
        return asked;
    }

    /** Names of the fields within fields that these bodies have or could have. */
    private static SortedSet<String> nested(Consumer<Json.Body> reader, String... bodies) {
        SortedSet<String> asked = new TreeSet<>();
        for (String each : bodies) {
            asked.addAll(all(reader, with(each)));
        }
        asked.removeIf(name -> !name.contains(".") && !name.contains("["));
        return asked;
    }

    private static Map<String, SortedSet<String>> nestedFieldsOfTheCode() {
        Json json = new Json();
        ChatRequests chats = new ChatRequests(json, 100);
        ResponseRequests responses = new ResponseRequests(json, 1_000_000, 100);
        MessageRequests messages = new MessageRequests(json, 100);
        String turns =
                "'messages':[{'role':'user','content':[{'type':'text','text':'x'}]},{'role':'assistant','content':null,"
                        + "'tool_calls':[{'id':'c','type':'function','function':{'name':'f','arguments':'{}'}}]},"
                        + "{'role':'tool','tool_call_id':'c','content':'y'}]";
        String function = "'name':'f','description':'d','parameters':{'type':'object'},'strict':true";
        String some = "'tools':[{'type':'function','name':'f'}],'tool_choice':";
        String chatSome = some.replace("'name':'f'", "'function':{'name':'f'}");
        Map<String, SortedSet<String>> all = new TreeMap<>();
        all.put(
                "/v1/chat/completions",
                nested(
                        chats::read,
                        turns + ",'tools':[{'type':'function','function':{" + function + "}}]",
                        turns + "," + chatSome + "{'type':'function','function':{'name':'f'}}",
                        turns + "," + chatSome + "{'type':'allowed_tools','allowed_tools':{'mode':'auto','tools':["
                                + "{'type':'function','function':{'name':'f'}}]}}",
                        turns + ",'stream':true,'stream_options':{'include_usage':true}",
                        turns
                                + ",'response_format':{'type':'json_schema','json_schema':{'name':'s','schema':{},'strict':true}}",
                        turns + ",'structured_outputs':{'json':{}},'metadata':{'a':'b'}"));
        String input = "'input':[{'type':'message','role':'user','content':[{'type':'input_text','text':'x'}]},"
                + "{'type':'reasoning','id':'r','summary':[{'text':'s'}]},{'type':'reasoning','id':'r','content':[{'text':'t'}]},"
                + "{'type':'function_call','call_id':'c','name':'f','arguments':'{}'},"
                + "{'type':'function_call_output','call_id':'c','output':[{'type':'input_text','text':'y'}]}]";
        all.put(
                "/v1/responses",
                nested(
                        body -> responses.read(body, false, Conversation.NONE),
                        input + ",'tools':[{'type':'function'," + function + "}]",
                        input + "," + some + "{'type':'function','name':'f'}",
                        input + "," + some
                                + "{'type':'allowed_tools','mode':'auto','tools':[{'type':'function','name':'f'}]}",
                        input + ",'text':{'format':{'type':'json_schema','name':'s','schema':{},'strict':true}}",
                        input + ",'reasoning':{'effort':'low'},'stream':true,'stream_options':{'include_usage':true}",
                        input + ",'structured_outputs':{'json':{}}"));
        String blocks =
                "'max_tokens':1,'system':[{'type':'text','text':'s'}],'messages':[{'role':'user','content':[{'type':'text','text':'x'}]},"
                        + "{'role':'assistant','content':[{'type':'thinking','thinking':'t'},{'type':'tool_use','id':'c','name':'f','input':{}}]},"
                        + "{'role':'user','content':[{'type':'tool_result','tool_use_id':'c','content':[{'type':'text','text':'y'}]}]}]";
        String tool = ",'tools':[{'name':'f','description':'d','input_schema':{'type':'object'},'strict':true}]";
        all.put(
                "/v1/messages",
                nested(
                        messages::read,
                        blocks + tool + ",'tool_choice':{'type':'tool','name':'f'}",
                        blocks + ",'thinking':{'type':'enabled','budget_tokens':5},'metadata':{'user_id':'u'}",
                        blocks + ",'output_config':{'effort':'low','format':{'type':'json_schema','schema':{}}}",
                        blocks + ",'output_format':{'type':'json_schema','schema':{}}",
                        blocks + ",'structured_outputs':{'json':{}}",
                        blocks + ",'stream':true,'stream_options':{'include_usage':true}"));
        return all;
    }

    /** Places of all fields within the schema's fields, and of the objects whose fields are the client's own. */
    private void places(JsonNode schema, String place, Set<String> fields, Set<String> open) {
        if (schema.has("$ref")) {
            places(document.at(schema.get("$ref").asString().substring(1)), place, fields, open);
            return;
        }
        schema.path("anyOf").forEach(each -> places(each, place, fields, open));
        if (schema.has("items")) {
            places(schema.get("items"), place + "[]", fields, open);
        }
        if (schema.path("additionalProperties").isObject()
                || schema.path("additionalProperties").asBoolean(false)) {
            open.add(place);
        }
        String before = place.isEmpty() ? "" : place + ".";
        schema.path("x-refused").forEach(name -> fields.add(before + name.asString()));
        schema.path("properties").properties().forEach(each -> {
            String at = before + each.getKey();
            fields.add(at);
            places(each.getValue(), at, fields, open);
        });
    }

    @Test
    void theFieldsWithinFieldsAreThoseThatTheCodeReads() {
        assertSoftly(softly -> nestedFieldsOfTheCode().forEach((path, asked) -> {
            SortedSet<String> listed = new TreeSet<>();
            Set<String> open = new HashSet<>();
            places(bodyOf(path), "", listed, open);
            listed.removeIf(name -> !name.contains(".") && !name.contains("["));
            asked.removeIf(
                    name -> open.stream().anyMatch(at -> name.startsWith(at + ".") || name.startsWith(at + "[")));
            listed.removeIf(
                    name -> open.stream().anyMatch(at -> name.startsWith(at + ".") || name.startsWith(at + "[")));
            softly.assertThat(listed).as(path).isEqualTo(asked);
        }));
    }

    private static String with(String more) {
        return "{'model':'m'," + more + "}";
    }

    private static Map<String, SortedSet<String>> fieldsOfTheCode() {
        Json json = new Json();
        ChatRequests chats = new ChatRequests(json, 100);
        CompletionRequests completions = new CompletionRequests(json, 4);
        ResponseRequests responses = new ResponseRequests(json, 1_000_000, 100);
        PoolingRequests pooling = new PoolingRequests();
        TokenizeRequests tokens = new TokenizeRequests(chats);
        MessageRequests messages = new MessageRequests(json, 100);
        String chat = "'messages':[{'role':'user','content':'x'}]";
        Map<String, SortedSet<String>> all = new TreeMap<>();
        all.put(
                "/v1/chat/completions",
                read(chats::read, with(chat + ",'tools':[{'type':'function','function':{'name':'f'}}]")));
        all.put("/v1/completions", read(completions::read, with("'prompt':'x'")));
        SortedSet<String> response = read(body -> responses.read(body, false, Conversation.NONE), with("'input':'x'"));
        response.addAll(read(ResponseRequests::previous, with("'input':'x'")));
        all.put("/v1/responses", response);
        all.put("/v1/embeddings", read(pooling::embeddings, with("'input':'x'")));
        all.put("/v1/rerank", read(pooling::rerank, with("'query':'x','documents':['y']")));
        SortedSet<String> scored = read(pooling::score, with("'text_1':'x','text_2':'y'"));
        scored.addAll(read(pooling::score, with("'queries':'x','documents':'y'")));
        all.put("/v1/score", scored);
        SortedSet<String> tokenize = read(tokens::tokenize, with("'prompt':'x'"));
        tokenize.addAll(read(tokens::tokenize, with(chat)));
        all.put("/tokenize", tokenize);
        all.put("/detokenize", read(tokens::detokenize, with("'tokens':[1]")));
        all.put("/v1/messages", read(messages::read, with("'max_tokens':1," + chat)));
        all.put("/v1/messages/count_tokens", read(messages::count, with(chat)));
        return all;
    }

    private JsonNode bodyOf(String path) {
        JsonNode schema = document.path("paths")
                .path(path)
                .path("post")
                .path("requestBody")
                .path("content")
                .path("application/json")
                .path("schema");
        String name = schema.path("$ref").asString().replace("#/components/schemas/", "");
        return document.path("components").path("schemas").path(name);
    }

    @Test
    void theFieldsOfEveryBodyAreThoseThatTheCodeReads() {
        assertSoftly(softly -> fieldsOfTheCode().forEach((path, asked) -> {
            JsonNode body = bodyOf(path);
            SortedSet<String> listed = new TreeSet<>(body.path("properties").propertyNames());
            body.path("x-refused").forEach(name -> listed.add(name.asString()));
            softly.assertThat(listed)
                    .as(
                            "gateway/src/main/resources/…/api/openapi.json, %s: 'properties' (and 'x-refused', for fields that are always refused)",
                            path)
                    .isEqualTo(asked);
            body.path("required").forEach(name -> softly.assertThat(asked).contains(name.asString()));
        }));
    }

    @Test
    void thePathsAreThoseThatTheGatewayRoutes(Gateway gateway) {
        SortedSet<String> routed = new TreeSet<>();
        gateway.context()
                .getBeansOfType(RouterFunction.class)
                .values()
                .forEach(routes -> routes.accept(new Routes(routed)));
        SortedSet<String> listed = new TreeSet<>();
        document.path("paths")
                .properties()
                .forEach(path -> path.getValue()
                        .propertyNames()
                        .forEach(method -> listed.add(method.toUpperCase(Locale.ROOT) + " " + path.getKey())));

        assertThat(listed).isEqualTo(routed);
    }

    @Test
    void everyReferenceIsThereAndEverythingIsDescribed() {
        List<String> missing = new ArrayList<>();
        document.findValuesAsString("$ref").forEach(reference -> {
            if (document.at(reference.substring(1)).isMissingNode()) {
                missing.add(reference);
            }
        });
        assertThat(missing).isEmpty();
        document.path("paths")
                .forEach(path -> path.forEach(operation -> {
                    assertThat(operation.path("summary").asString("")).isNotBlank();
                    assertThat(operation.path("operationId").asString("")).isNotBlank();
                    assertThat(operation.path("responses").has("200")).isTrue();
                }));
        document.path("components")
                .path("schemas")
                .forEach(schema -> schema.path("properties")
                        .properties()
                        .forEach(field -> assertThat(
                                        field.getValue().path("description").asString(""))
                                .as(field.getKey())
                                .isNotBlank()));
    }

    @Test
    void aPageShowsItWithoutAnythingFromElsewhere(Gateway gateway) throws Exception {
        assertThat(gateway.get("/openapi.json").body().getBytes(StandardCharsets.UTF_8))
                .isEqualTo(ApiDocument.resource(ApiDocument.OPENAPI));
        var page = gateway.get("/docs");
        assertThat(page.headers().firstValue("content-type"))
                .hasValueSatisfying(type -> assertThat(type).startsWith("text/html"));
        assertThat(page.body()).contains("openapi.json").doesNotContain("http:", "https:", "src=");
    }

    /** Gathers methods and paths, in the form of the document; fallbacks for other methods have none. */
    private static final class Routes implements RouterFunctions.Visitor {

        private final Set<String> found;

        Routes(Set<String> found) {
            this.found = found;
        }

        @Override
        public void route(RequestPredicate predicate, HandlerFunction<?> handler) {
            var parts = new Predicates();
            predicate.accept(parts);
            for (HttpMethod method : parts.methods) {
                found.add(method.name() + " " + parts.path.replace("{*name}", "{id}"));
            }
        }

        @Override
        public void startNested(RequestPredicate predicate) {}

        @Override
        public void endNested(RequestPredicate predicate) {}

        @Override
        public void resources(Function<ServerRequest, Mono<Resource>> lookup) {}

        @Override
        public void attributes(Map<String, Object> attributes) {}

        @Override
        public void unknown(RouterFunction<?> function) {}
    }

    private static final class Predicates implements RequestPredicates.Visitor {

        private Set<HttpMethod> methods = Set.of();
        private String path = "";

        @Override
        public void method(Set<HttpMethod> wanted) {
            methods = wanted;
        }

        @Override
        public void path(String pattern) {
            path = pattern;
        }

        @Override
        public void header(String name, String value) {}

        @Override
        public void queryParam(String name, String value) {}

        @Override
        @SuppressWarnings("removal")
        public void pathExtension(String extension) {}

        @Override
        public void version(String version) {}

        @Override
        public void startAnd() {}

        @Override
        public void and() {}

        @Override
        public void endAnd() {}

        @Override
        public void startOr() {}

        @Override
        public void or() {}

        @Override
        public void endOr() {}

        @Override
        public void startNegate() {}

        @Override
        public void endNegate() {}

        @Override
        public void unknown(RequestPredicate predicate) {}
    }
}
