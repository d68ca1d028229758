package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;

import java.net.http.HttpResponse;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.extension.ExtendWith;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/** What each parameter does to the answers of a real, if tiny, model, from the HTTP body to the sampler and back. */
@ExtendWith(SharedSystem.class)
@SuppressWarnings("NullAway.Init") // set by start()
abstract class ParameterEffects {

    static final String CHAT = "/v1/chat/completions";
    static final String TEXT = "/v1/completions";
    static final int CONTEXT = SharedSystem.TINY_CONTEXT;
    static final JsonMapper JSON = new JsonMapper();

    static SystemUnderTest system;

    /** Ids of the letters a to z. */
    private static Map<String, Integer> letters;

    @BeforeAll
    static void start(SystemUnderTest shared) throws Exception {
        system = shared;
        letters = new HashMap<>();
        for (JsonNode token : scoredPrompt("\"prompt\":\"#a#b#c#d#e#f#g#h#i#j#k#l#m#n#o#p#q#r#s#t#u#v#w#x#y#z\"")) {
            if (token.isObject()) {
                Map.Entry<String, JsonNode> only = token.properties().iterator().next();
                letters.put(only.getValue().get("decoded_token").asString(), Integer.parseInt(only.getKey()));
            }
        }
    }

    private static ObjectNode body(String base, String fields) {
        ObjectNode body = (ObjectNode) JSON.readTree(base);
        ((ObjectNode) JSON.readTree("{" + fields + "}")).properties().forEach(e -> body.set(e.getKey(), e.getValue()));
        return body;
    }

    static HttpResponse<String> send(String path, String fields) throws Exception {
        String base = path.equals(TEXT)
                ? "{\"model\":\"tiny\",\"prompt\":\"Hello\",\"max_tokens\":24,\"temperature\":0,\"ignore_eos\":true}"
                : "{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}],\"max_tokens\":24,\"temperature\":0,"
                        + "\"ignore_eos\":true}";
        return system.post(path, JSON.writeValueAsString(body(base, fields)));
    }

    static JsonNode answer(String path, String fields) throws Exception {
        HttpResponse<String> answer = send(path, fields);
        assertThat(answer.statusCode()).as(fields + answer.body()).isEqualTo(200);
        return JSON.readTree(answer.body());
    }

    static JsonNode choice(String path, String fields) throws Exception {
        return answer(path, fields).get("choices").get(0);
    }

    static String text(String fields) throws Exception {
        return choice(TEXT, fields).get("text").asString();
    }

    static String chat(String fields) throws Exception {
        return choice(CHAT, fields).get("message").get("content").asString();
    }

    static JsonNode usage(String path, String fields) throws Exception {
        return answer(path, fields).get("usage");
    }

    static JsonNode error(String path, String fields, int status) throws Exception {
        HttpResponse<String> answer = send(path, fields);
        assertThat(answer.statusCode()).as(answer.body()).isEqualTo(status);
        return JSON.readTree(answer.body()).get("error");
    }

    static JsonNode scoredPrompt(String fields) throws Exception {
        return choice(TEXT, fields + ",\"prompt_logprobs\":0,\"max_tokens\":1").get("prompt_logprobs");
    }

    /** Only these letters may come. */
    static String only(String chars) {
        return "\"allowed_token_ids\":"
                + chars.chars().mapToObj(c -> id((char) c)).toList();
    }

    static int id(char letter) {
        Integer id = letters.get(String.valueOf(letter));
        assertThat(id).as("the id of " + letter).isNotNull();
        return id;
    }

    static String content(JsonNode choice) {
        return choice.has("text")
                ? choice.get("text").asString()
                : choice.get("message").get("content").asString();
    }

    static int control(String token) throws Exception {
        JsonNode scored = scoredPrompt("\"prompt\":\"#" + token + "\"");
        return Integer.parseInt(
                scored.get(scored.size() - 1).properties().iterator().next().getKey());
    }

    static JsonNode responseObject(String fields) throws Exception {
        HttpResponse<String> answer = system.post(
                "/v1/responses", "{\"model\":\"tiny\",\"input\":\"Hello\",\"ignore_eos\":true," + fields + "}");
        assertThat(answer.statusCode()).as(answer.body()).isEqualTo(200);
        return JSON.readTree(answer.body());
    }
}
