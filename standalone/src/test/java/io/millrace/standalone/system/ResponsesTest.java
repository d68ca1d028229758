package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.openai.client.OpenAIClient;
import com.openai.core.JsonValue;
import com.openai.core.http.ResponseConnection;
import com.openai.errors.BadRequestException;
import com.openai.models.responses.Response;
import com.openai.models.responses.ResponseCreateParams;
import com.openai.models.responses.ResponseIncludable;
import com.openai.models.responses.ResponseInputItem;
import com.openai.models.responses.ResponseOutputText;
import com.openai.models.responses.ResponseStatus;
import com.openai.models.responses.ResponsesClientEvent;
import com.openai.models.responses.ResponsesServerEvent;
import io.millrace.standalone.parts.Role;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** The Responses API at two gateways, the second of which has keys of two tenants. */
@ExtendWith(SharedSystem.class)
@Timeout(120)
class ResponsesTest {

    private static final JsonMapper JSON = new JsonMapper();
    private static final String RESPONSES = "/v1/responses";
    private static final String[] MINE = {"Authorization", "Bearer mine"};
    private static final String[] HIS = {"Authorization", "Bearer his"};

    private static SystemUnderTest one;
    private static SystemUnderTest worker;
    private static SystemUnderTest other;
    private static OpenAIClient client;

    @BeforeAll
    static void start(SystemUnderTest shared) throws Exception {
        one = shared;
        worker = shared.another(
                Role.WORKER, Map.of("millrace.worker.models[0]", "mock:paced", "millrace.worker.mock-step", "2ms"));
        SystemUnderTest.awaitServed(one.url(), "paced");
        client = one.client();
        other = one.another(
                Role.GATEWAY,
                Map.of("millrace.gateway.api-keys.mine", "default", "millrace.gateway.api-keys.his", "bob"));
        Processes.await("the second gateway", ResponsesTest::served);
    }

    private static boolean served() {
        try {
            return other.post(RESPONSES, body("\"input\":\"x\""), MINE).statusCode() == 200;
        } catch (Exception e) {
            throw new AssertionError(e);
        }
    }

    @AfterAll
    static void stop() {
        if (other != null) {
            other.close();
        }
        if (client != null) {
            client.close();
        }
        if (worker != null) {
            worker.close();
        }
    }

    private static String body(String fields) {
        return "{\"model\":\"paced\",\"ignore_eos\":true,\"max_output_tokens\":8,\"seed\":5," + fields + "}";
    }

    private static JsonNode create(SystemUnderTest system, String fields, String... headers) throws Exception {
        HttpResponse<String> answer = system.post(RESPONSES, body(fields), headers);
        assertThat(answer.statusCode()).as(answer.body()).isEqualTo(200);
        return JSON.readTree(answer.body());
    }

    private static String id(JsonNode response) {
        return response.get("id").asString();
    }

    private static JsonNode textPart(JsonNode response) {
        return response.get("output").get(0).get("content").get(0);
    }

    private static String text(JsonNode response) {
        return textPart(response).get("text").asString();
    }

    private static String error(HttpResponse<String> answer, int status, String code, String param) {
        assertThat(answer.statusCode()).as(answer.body()).isEqualTo(status);
        JsonNode error = JSON.readTree(answer.body()).get("error");
        assertThat(error.get("code").asString()).as(answer.body()).isEqualTo(code);
        assertThat(error.get("param").asString()).as(answer.body()).isEqualTo(param);
        return error.get("message").asString();
    }

    private static String item(String role, String text) {
        return JSON.writeValueAsString(Map.of("role", role, "content", text));
    }

    @Test
    void aResponseGoesOnFromAnotherAtAnyGatewayWithoutItsInstructions() throws Exception {
        JsonNode first = create(one, "\"input\":\"Hi\",\"instructions\":\"Be brief\"");
        JsonNode second = create(other, "\"input\":\"And?\",\"previous_response_id\":\"" + id(first) + "\"", MINE);
        JsonNode third = create(
                one,
                "\"input\":[" + item("developer", "Now in verse") + "," + item("user", "Again")
                        + "],\"instructions\":\"Be long\",\"previous_response_id\":\"" + id(second) + "\"");
        String turns = item("user", "Hi") + "," + item("assistant", text(first)) + "," + item("user", "And?");
        JsonNode told = create(one, "\"input\":[" + turns + "]");
        assertThat(text(second)).isEqualTo(text(told)).isNotEqualTo(text(first));
        JsonNode toldThird = create(
                one,
                "\"instructions\":\"Be long\",\"input\":[" + turns + "," + item("assistant", text(second)) + ","
                        + item("developer", "Now in verse") + "," + item("user", "Again") + "]");
        assertThat(text(third)).isEqualTo(text(toldThird));
        assertThat(third.get("usage").get("input_tokens"))
                .isEqualTo(toldThird.get("usage").get("input_tokens"));
        assertThat(third.get("previous_response_id").asString()).isEqualTo(id(second));
        assertThat(JSON.readTree(one.get(RESPONSES + "/" + id(third)).body()).get("previous_response_id"))
                .isEqualTo(third.get("previous_response_id"));
        JsonNode items = JSON.readTree(one.get(RESPONSES + "/" + id(third) + "/input_items?order=asc")
                        .body())
                .get("data");
        List<String> roles = new ArrayList<>();
        items.forEach(each -> roles.add(each.get("role").asString()));
        assertThat(roles).containsExactly("user", "assistant", "user", "assistant", "developer", "user");
    }

    @Test
    void whatCannotBeGoneOnFromIsNamed() throws Exception {
        String his = id(create(other, "\"input\":\"Hi\"", HIS));
        String unstored = id(create(one, "\"input\":\"Hi\",\"store\":false"));
        String deleted = id(create(one, "\"input\":\"Hi\""));
        client.responses().delete(deleted);
        String never = deleted.substring(0, 9) + (deleted.charAt(9) == '0' ? '1' : '0') + deleted.substring(10);
        for (String id : List.of(his, unstored, deleted, never, "resp_1", "nothing", "")) {
            HttpResponse<String> answer =
                    one.post(RESPONSES, body("\"input\":\"And?\",\"previous_response_id\":\"" + id + "\""));
            error(answer, 400, "previous_response_not_found", "previous_response_id");
        }
        error(
                one.post(RESPONSES, body("\"input\":\"a\",\"conversation\":\"conv_1\"")),
                400,
                "unsupported_parameter",
                "conversation");
    }

    @Test
    void anUnfinishedOrCancelledResponseIsNoPlaceToGoOnFrom() throws Exception {
        String endless = "{\"model\":\"paced\",\"ignore_eos\":true,\"background\":true,\"input\":\"endless\"}";
        String running = id(JSON.readTree(one.post(RESPONSES, endless).body()));
        String next = body("\"input\":\"And?\",\"previous_response_id\":\"" + running + "\"");
        assertThat(error(one.post(RESPONSES, next), 400, "previous_response_not_finished", "previous_response_id"))
                .contains(running);
        client.responses().cancel(running);
        assertThat(error(
                        other.post(RESPONSES, next, MINE), 400, "previous_response_not_usable", "previous_response_id"))
                .contains("cancelled");
    }

    private static String status(String id) {
        try {
            return JSON.readTree(one.get(RESPONSES + "/" + id).body())
                    .get("status")
                    .asString();
        } catch (Exception e) {
            throw new AssertionError(e);
        }
    }

    @Test
    void theOfficialClientChainsAndGetsLogprobsMetadataAndUsage() {
        Response first = client.responses().create(params("One").build());
        Response second = client.responses()
                .create(params("Two")
                        .previousResponseId(first.id())
                        .topLogprobs(2)
                        .addInclude(ResponseIncludable.MESSAGE_OUTPUT_TEXT_LOGPROBS)
                        .metadata(ResponseCreateParams.Metadata.builder()
                                .putAdditionalProperty("a", JsonValue.from("b"))
                                .build())
                        .truncation(ResponseCreateParams.Truncation.AUTO)
                        .build());
        second.validate();
        assertThat(second.previousResponseId()).contains(first.id());
        assertThat(second.status()).contains(ResponseStatus.INCOMPLETE);
        assertThat(second.incompleteDetails()
                        .orElseThrow()
                        .reason()
                        .orElseThrow()
                        .asString())
                .isEqualTo("max_output_tokens");
        assertThat(second.truncation().orElseThrow().asString()).isEqualTo("auto");
        assertThat(second.usage().orElseThrow().inputTokensDetails().cachedTokens())
                .isNotNegative();
        ResponseOutputText part =
                second.output().getFirst().asMessage().content().getFirst().asOutputText();
        assertThat(part.logprobs().orElseThrow()).hasSize(8);
        assertThat(part.logprobs().orElseThrow().getFirst().topLogprobs()).hasSize(2);
        assertThat(client.responses().retrieve(second.id()).metadata()).isEqualTo(second.metadata());
        assertThat(client.responses().inputItems().list(second.id()).autoPager().stream())
                .hasSize(3);
        assertThatThrownBy(() -> client.responses()
                        .create(params("x").previousResponseId("resp_0").build()))
                .isInstanceOfSatisfying(
                        BadRequestException.class,
                        failure -> assertThat(failure.code()).contains("previous_response_not_found"));
    }

    private static ResponseCreateParams.Builder params(String input) {
        return ResponseCreateParams.builder()
                .model("paced")
                .inputOfResponse(List.of(ResponseInputItem.ofMessage(ResponseInputItem.Message.builder()
                        .role(ResponseInputItem.Message.Role.USER)
                        .addInputTextContent(input)
                        .build())))
                .maxOutputTokens(8L)
                .putAdditionalBodyProperty("ignore_eos", JsonValue.from(true));
    }

    @Test
    void whatCannotBeHonouredIsNamed() throws Exception {
        Map<String, String> bad = Map.of(
                "\"frobnicate\":1", "frobnicate",
                "\"prompt\":{\"id\":\"pmpt_1\"}", "prompt",
                "\"context_management\":[]", "context_management",
                "\"truncation\":\"some\"", "truncation",
                "\"include\":[\"everything\"]", "include[0]",
                "\"top_logprobs\":21", "top_logprobs",
                "\"text\":{\"verbosity\":\"low\"}", "text.verbosity",
                "\"metadata\":{\"a\":1}", "metadata.a",
                "\"reasoning\":{\"effort\":\"much\"}", "reasoning.effort",
                "\"n\":2", "n");
        for (var each : bad.entrySet()) {
            HttpResponse<String> answer = one.post(RESPONSES, body("\"input\":\"a\"," + each.getKey()));
            assertThat(answer.statusCode()).as(each.getKey()).isEqualTo(400);
            assertThat(JSON.readTree(answer.body()).get("error").get("param").asString())
                    .isEqualTo(each.getValue());
        }
        String meant = "\"input\":\"a\",\"frobnicate\":null,\"tools\":[],\"tool_choice\":\"auto\",\"user\":\"u\","
                + "\"parallel_tool_calls\":true,\"safety_identifier\":\"s\",\"prompt_cache_key\":\"k\","
                + "\"reasoning\":{\"effort\":\"low\",\"summary\":null},\"include\":[\"reasoning.encrypted_content\"],"
                + "\"service_tier\":\"flex\",\"top_k\":3,\"chat_template_kwargs\":{\"x\":1}";
        JsonNode answer = create(one, meant);
        assertThat(answer.get("service_tier").asString()).isEqualTo("flex");
        assertThat(answer.get("reasoning").get("effort").asString()).isEqualTo("low");
        assertThat(answer.get("safety_identifier").asString()).isEqualTo("s");
        assertThat(answer.get("truncation").asString()).isEqualTo("disabled");
    }

    @Test
    void aConversationBeyondTheContextIsRefusedOrLosesItsOldestTurns() throws Exception {
        String turns = item("system", "rules") + "," + item("user", "x".repeat(20_000)) + ","
                + item("assistant", "long ago") + "," + item("user", "short");
        HttpResponse<String> refused = one.post(RESPONSES, body("\"input\":[" + turns + "]"));
        assertThat(refused.statusCode()).as(refused.body()).isEqualTo(400);
        JsonNode cut = create(one, "\"input\":[" + turns + "],\"truncation\":\"auto\"");
        JsonNode told = create(one, "\"input\":[" + item("system", "rules") + "," + item("user", "short") + "]");
        assertThat(text(cut)).isEqualTo(text(told));
    }

    private static String event(String type, String fields) {
        return "{\"type\":\"response." + type + "\"," + fields + "}";
    }

    private static boolean ended(String event) {
        return event.matches("(?s)\\{\"type\":\"(response\\.(completed|incomplete|failed)|error)\".*");
    }

    @Test
    void theOfficialClientsWebSocketChainsForksAndSurvivesErrors() {
        try (ResponseConnection connection = client.responses().connect()) {
            connection.send(create("One").store(false).build());
            Response first = connection.finalResponse();
            assertThat(first.status()).contains(ResponseStatus.INCOMPLETE);
            connection.send(create("Two").previousResponseId(first.id()).build());
            Response second = connection.finalResponse();
            assertThat(second.previousResponseId()).contains(first.id());
            connection.send(create("Three").previousResponseId("resp_0").build());
            ResponsesServerEvent error = connection.receive();
            assertThat(error.asError().error().code()).contains("previous_response_not_found");
            try (ResponseConnection.Lane fork = connection.lane("fork")) {
                fork.send(create("Fork").previousResponseId(second.id()).build());
                Response forked = fork.finalResponse();
                assertThat(client.responses().inputItems().list(forked.id()).autoPager().stream())
                        .hasSize(5);
            }
        }
    }

    private static Create create(String input) {
        return new Create(ResponsesClientEvent.ResponseCreate.builder()
                .model("paced")
                .input(input)
                .maxOutputTokens(8L)
                .putAdditionalProperty("ignore_eos", JsonValue.from(true)));
    }

    private record Create(ResponsesClientEvent.ResponseCreate.Builder fields) {

        Create store(boolean stored) {
            return new Create(fields.store(stored));
        }

        Create previousResponseId(String id) {
            return new Create(fields.previousResponseId(id));
        }

        ResponsesClientEvent build() {
            return ResponsesClientEvent.ofResponseCreate(fields.build());
        }
    }

    @Test
    void aBrokenConnectionIsGoneOnWithAtAnotherGateway() throws Exception {
        String id;
        List<String> begun;
        try (Socket socket = new Socket(one.url())) {
            socket.send(event("create", long400("long")));
            begun = socket.until(message -> message.contains("\"sequence_number\":9"));
            id = id(JSON.readTree(begun.getFirst()).get("response"));
        }
        List<String> whole = one.get(RESPONSES + "/" + id + "?stream=true")
                .body()
                .lines()
                .filter(line -> line.startsWith("data: "))
                .map(line -> line.substring(6))
                .toList();
        try (Socket socket = new Socket(other.url(), MINE)) {
            socket.send(event("resume", "\"response_id\":\"" + id + "\",\"starting_after\":9"));
            begun.addAll(socket.until(ResponsesTest::ended));
            assertThat(begun).isEqualTo(whole);
            socket.send(event("resume", "\"response_id\":\"" + id + "\",\"starting_after\":-2"));
            assertThat(socket.until(ResponsesTest::ended).getLast()).contains("starting_after");
        }
        try (Socket socket = new Socket(other.url(), HIS)) {
            socket.send(event("resume", "\"response_id\":\"" + id + "\""));
            assertThat(socket.until(ResponsesTest::ended).getLast()).contains("not_found");
        }
    }

    private static String long400(String text) {
        return "\"model\":\"paced\",\"ignore_eos\":true,\"max_output_tokens\":400,\"input\":\"" + text + "\"";
    }

    @Test
    void aResponseIsCancelledOverItsConnectionWhichLivesOn() throws Exception {
        try (Socket socket = new Socket(one.url())) {
            socket.send(event("create", long400("cancel").replace("400", "4000")));
            String created = socket.until(message -> message.contains("response.output_text.delta"))
                    .getFirst();
            String id = id(JSON.readTree(created).get("response"));
            socket.send(event("cancel", "\"response_id\":\"" + id + "\""));
            assertThat(socket.until(ResponsesTest::ended).getLast())
                    .contains("response.incomplete")
                    .contains("cancelled");
            socket.send(event("create", long400("next").replace("400", "4")));
            assertThat(socket.until(ResponsesTest::ended).getLast()).contains("max_output_tokens");
        }
    }
}
