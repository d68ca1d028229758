package io.millrace.gateway.api;

import io.millrace.gateway.node.ClusterPicture;
import io.millrace.gateway.node.ModelState;
import io.millrace.gateway.stream.JsonText;
import io.millrace.shared.proto.MemberBeat;
import io.millrace.shared.proto.RunningAttempt;
import io.millrace.shared.proto.ServedModel;
import io.millrace.shared.proto.WorkerBeat;
import java.util.List;
import java.util.Locale;

/** A {@link ClusterPicture} as JSON. */
final class ClusterJson {

    private ClusterJson() {}

    static String of(ClusterPicture picture) {
        JsonText json = new JsonText()
                .object()
                .field("time_ms", picture.timeMs())
                .field("since_ms", picture.sinceMs())
                .field("log_age_ms", picture.logAgeMs());
        json.name("workers").array();
        picture.workers().forEach(worker -> worker(json, worker));
        json.endArray().name("models").array();
        picture.models().values().forEach(model -> model(json, model));
        json.endArray().name("members").array();
        picture.members().forEach(member -> member(json, member));
        json.endArray().name("partitions").array();
        for (ClusterPicture.Partition each : picture.partitions()) {
            json.object()
                    .field("number", each.number())
                    .field("position", each.position())
                    .field("records", each.records())
                    .field("open", each.open())
                    .endObject();
        }
        json.endArray().name("tenants").array();
        picture.tenants().forEach((name, tenant) -> {
            json.object()
                    .field("name", name)
                    .field("admitted", tenant.admitted())
                    .field("ended", tenant.ended())
                    .field("tokens", tenant.tokens())
                    .endObject();
        });
        json.endArray().name("failovers").array();
        picture.failovers().forEach(each -> failover(json, each));
        return json.endArray().endObject().toString();
    }

    private static void worker(JsonText json, ClusterPicture.Worker worker) {
        WorkerBeat beat = worker.beat();
        json.object()
                .field("name", beat.getWorker())
                .field("slot", beat.getSlot())
                .field("draining", beat.getDraining())
                .field("silent_ms", worker.silentMs())
                .field("tokens", worker.tokens())
                .name("models")
                .array();
        beat.getModelsList().forEach(model -> served(json, model));
        List<RunningAttempt> attempts = beat.getAttemptsList();
        json.endArray()
                .field("attempts", attempts.size())
                .field(
                        "again",
                        attempts.stream()
                                .filter(attempt -> attempt.getAttempt() > 1)
                                .count())
                .endObject();
    }

    private static void served(JsonText json, ServedModel model) {
        json.object()
                .field("name", model.getName())
                .field("running", model.getRunning())
                .field("waiting", model.getWaiting())
                .field("max_running", model.getMaxRunning())
                .field("kv_blocks", model.getKvBlocksTotal())
                .field("kv_blocks_free", model.getKvBlocksFree())
                .field("block_tokens", model.getBlockTokens())
                .field("queued_prefill_tokens", model.getQueuedPrefillTokens())
                .name("prefill_tokens_per_s")
                .raw(number(model.getPrefillTokensPerS()))
                .name("decode_step_s")
                .raw(number(model.getDecodeStepS()))
                .field("dtype", model.getDtype())
                .field("numerics_id", model.getNumericsId())
                .endObject();
    }

    private static void model(JsonText json, ModelState model) {
        json.object()
                .field("name", model.name())
                .field("queued", model.queued())
                .field("queued_tokens", model.queuedTokens())
                .field("credits", model.credits())
                .field("workers", model.workers())
                .name("drain_rate")
                .raw(number(model.drainRate()))
                .endObject();
    }

    private static void member(JsonText json, MemberBeat member) {
        json.object()
                .field("node", member.getNode())
                .field("role", member.getRole().name().toLowerCase(Locale.ROOT))
                .name("partitions")
                .array();
        member.getPartitionsList().forEach(json::value);
        json.endArray().endObject();
    }

    private static void failover(JsonText json, ClusterPicture.Failover each) {
        json.object()
                .field("time_ms", each.timeMs())
                .field("id", each.id())
                .field("attempt", each.attempt())
                .field("from", each.from())
                .field("to", each.to())
                .field("cause", each.cause())
                .field("kept", each.kept())
                .endObject();
    }

    private static String number(double value) {
        return Double.isFinite(value) ? Double.toString(value) : "0";
    }
}
