package io.millrace.gateway.stream;

import com.google.protobuf.ByteString;
import io.millrace.shared.proto.Output;
import io.millrace.shared.proto.PoolingInput;
import io.millrace.shared.proto.ResponseShape;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.Base64;
import java.util.Comparator;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;

/**
 * Embeddings in OpenAI's form, rankings in Jina's, scores in vLLM's: one event, when every output is there. Outputs are little-endian
 * float32, one OUTPUT for each index.
 */
final class PooledDocument implements Renderer {

    private final Call call;
    private final ResponseShape shape;
    private final Progress progress;
    private final Map<Integer, ByteString> outputs = new TreeMap<>();

    PooledDocument(Call call) {
        this.call = call;
        this.shape = call.shape();
        this.progress = new Progress(call);
    }

    @Override
    public void accept(Accepted accepted, Frames<?> out) {
        progress.observe(accepted);
        if (accepted.record().hasOutput()) {
            Output output = accepted.record().getOutput();
            outputs.merge(output.getIndex(), output.getData(), ByteString::concat);
        } else if (accepted.record().hasEnd()) {
            out.event(accepted.offset(), null, document());
        }
    }

    private String document() {
        return switch (shape.getApi()) {
            case RERANK -> ranking();
            case SCORE -> scores();
            default -> embeddings();
        };
    }

    private String embeddings() {
        JsonText json = list().name("data").array();
        outputs.forEach((index, data) -> {
            json.object().field("object", "embedding").field("index", index).name("embedding");
            if (shape.getBase64()) {
                json.value(Base64.getEncoder().encodeToString(data.toByteArray()));
            } else {
                FloatBuffer values = floats(data);
                json.array();
                while (values.hasRemaining()) {
                    json.value(values.get());
                }
                json.endArray();
            }
            json.endObject();
        });
        json.endArray().name("usage").object();
        return json.field("prompt_tokens", progress.promptTokens())
                .field("total_tokens", progress.promptTokens())
                .endObject()
                .endObject()
                .toString();
    }

    private String scores() {
        JsonText json = list().name("data").array();
        outputs.forEach((index, data) -> json.object()
                .field("index", index)
                .field("object", "score")
                .name("score")
                .value(score(data))
                .endObject());
        json.endArray().name("usage").object();
        return json.field("prompt_tokens", progress.promptTokens())
                .field("completion_tokens", 0)
                .field("total_tokens", progress.promptTokens())
                .endObject()
                .endObject()
                .toString();
    }

    private JsonText list() {
        return new JsonText()
                .object()
                .field("id", call.apiId())
                .field("object", "list")
                .field("created", progress.createdMs() / 1000)
                .field("model", call.first().getModel());
    }

    /** Best first; of equal scores the earlier document. */
    private String ranking() {
        JsonText json = new JsonText()
                .object()
                .field("id", call.apiId())
                .field("model", call.first().getModel())
                .name("usage")
                .object()
                .field("prompt_tokens", progress.promptTokens())
                .field("total_tokens", progress.promptTokens())
                .endObject()
                .name("results")
                .array();
        PoolingInput input = call.first().getPooling();
        Stream<Map.Entry<Integer, ByteString>> best = outputs.entrySet().stream()
                .sorted(Comparator.comparingDouble((Map.Entry<Integer, ByteString> e) -> -score(e.getValue()))
                        .thenComparing(Map.Entry.comparingByKey()))
                .limit(shape.getTopN() == 0 ? outputs.size() : shape.getTopN());
        best.forEach(each -> {
            json.object().field("index", each.getKey());
            if (shape.getReturnDocuments()) {
                int document = input.getPairs(each.getKey()).getSecond();
                json.name("document")
                        .object()
                        .field("text", input.getInputs(document).getText())
                        .endObject();
            }
            json.name("relevance_score").value(score(each.getValue())).endObject();
        });
        return json.endArray().endObject().toString();
    }

    private static float score(ByteString data) {
        FloatBuffer values = floats(data);
        return values.hasRemaining() ? values.get() : Float.NaN;
    }

    private static FloatBuffer floats(ByteString data) {
        return data.asReadOnlyByteBuffer().order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer();
    }

    @Override
    public void fail(ApiError error, long offset, Frames<?> out) {
        out.event(offset, null, error.json());
    }

    @Override
    public Progress progress() {
        return progress;
    }
}
