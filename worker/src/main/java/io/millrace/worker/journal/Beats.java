package io.millrace.worker.journal;

import io.millrace.shared.log.Clock;
import io.millrace.shared.proto.ServedModel;
import io.millrace.shared.proto.WorkerBeat;
import io.millrace.worker.engine.EngineLoad;
import java.util.List;
import java.util.Map;

/** Composes heartbeats. Thread-safe. */
final class Beats {

    private final WorkerIdentity worker;
    private final List<HostedModel> models;
    private final Map<HostedModel, PrefixHints> hints;
    private final ExecutionTable table;
    private final String liveness;
    private final Clock clock;

    Beats(
            WorkerIdentity worker,
            List<HostedModel> models,
            Map<HostedModel, PrefixHints> hints,
            ExecutionTable table,
            String liveness,
            Clock clock) {
        this.worker = worker;
        this.models = models;
        this.hints = hints;
        this.table = table;
        this.liveness = liveness;
        this.clock = clock;
    }

    /** @param finishing it drains, but takes what only its weights can run */
    WorkerBeat next(boolean draining, boolean finishing, boolean leaving) {
        ExecutionTable.Snapshot now = table.snapshot();
        var beat = WorkerBeat.newBuilder()
                .setWorker(worker.id())
                .setIncarnation(worker.incarnation())
                .setSlot(worker.slot())
                .setTimeMs(clock.wallMs())
                .addAllAttempts(now.attempts())
                .setDraining(draining)
                .setFinishing(finishing)
                .setLeaving(leaving)
                .setLiveness(liveness)
                .setAssignmentsPosition(now.position());
        for (HostedModel model : models) {
            // A broken engine would hand back whatever it is given.
            if (model.engine().healthy()) {
                beat.addModels(served(model));
            }
        }
        return beat.build();
    }

    private ServedModel served(HostedModel model) {
        EngineLoad load = model.engine().load();
        PrefixHints known = hints.get(model);
        return ServedModel.newBuilder()
                .setName(model.name())
                .addAllAliases(model.aliases())
                .setWeightsHash(model.weightsHash())
                .setTokenizerHash(model.tokenizerHash())
                .setNumericsId(model.numericsId())
                .setMaxModelLen(model.maxModelLen())
                .addAllTasks(model.tasks())
                .setDtype(model.dtype())
                .setParameters(model.parameters())
                .setToolFormat(model.toolFormat().text())
                .setReasoningFormat(model.reasoningFormat().text())
                .setRunning(load.running())
                .setWaiting(load.waiting())
                .setMaxRunning(load.maxRunning())
                .setKvBlocksTotal(load.kvBlocksTotal())
                .setKvBlocksFree(load.kvBlocksFree())
                .setBlockTokens(load.blockTokens())
                .setQueuedPrefillTokens(load.queuedPrefillTokens())
                .setPrefillTokensPerS(load.prefillTokensPerS())
                .setDecodeStepS(load.decodeStepS())
                .addAllPrefixHints(known == null ? List.of() : known.recent())
                .build();
    }
}
