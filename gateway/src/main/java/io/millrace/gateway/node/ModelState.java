package io.millrace.gateway.node;

import io.millrace.shared.proto.ModelCredit;
import io.millrace.shared.proto.Submit.Task;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/**
 * A served model as the live routers describe it, their shares added up.
 *
 * @param credits requests that may be appended until their next beats
 * @param queuedTokens tokens that wait in the queues
 * @param drainRate tokens per second that the workers finish; 0: not known yet
 * @param workers live workers that serve it
 * @param maxModelLen longest prompt and output together, in tokens; 0: not known
 * @param toolFormat how it writes calls of functions; empty: not known
 * @param reasoningFormat how it writes its reasoning; empty: not known
 * @param fullTenants those that hold as much of its queue as one may
 * @param queuedBeforeBatches of those queued, what is no batch's
 */
public record ModelState(
        String name,
        List<String> aliases,
        int credits,
        int queued,
        long queuedTokens,
        double drainRate,
        int workers,
        int maxModelLen,
        String numericsId,
        String dtype,
        long parameters,
        List<Task> tasks,
        String toolFormat,
        String reasoningFormat,
        Set<String> fullTenants,
        int queuedBeforeBatches) {

    private static final double UNKNOWN_PACE_S = 10;

    static ModelState of(ModelCredit credit) {
        return new ModelState(
                credit.getModel(),
                List.copyOf(credit.getAliasesList()),
                credit.getCredits(),
                credit.getQueued(),
                credit.getQueuedTokens(),
                credit.getDrainRate(),
                credit.getWorkers(),
                credit.getMaxModelLen(),
                credit.getNumericsId(),
                credit.getDtype(),
                credit.getParameters(),
                List.copyOf(credit.getTasksList()),
                credit.getToolFormat(),
                credit.getReasoningFormat(),
                Set.copyOf(credit.getFullTenantsList()),
                credit.getQueuedBeforeBatches());
    }

    ModelState plus(ModelState other) {
        Set<String> names = new LinkedHashSet<>(aliases);
        names.addAll(other.aliases);
        Set<String> full = new LinkedHashSet<>(fullTenants);
        full.addAll(other.fullTenants);
        return new ModelState(
                name,
                List.copyOf(names),
                credits + other.credits,
                queued + other.queued,
                queuedTokens + other.queuedTokens,
                drainRate + other.drainRate,
                Math.max(workers, other.workers),
                Math.max(maxModelLen, other.maxModelLen),
                numericsId.isEmpty() ? other.numericsId : numericsId,
                dtype.isEmpty() ? other.dtype : dtype,
                Math.max(parameters, other.parameters),
                tasks.isEmpty() ? other.tasks : tasks,
                toolFormat.isEmpty() ? other.toolFormat : toolFormat,
                reasoningFormat.isEmpty() ? other.reasoningFormat : reasoningFormat,
                Set.copyOf(full),
                queuedBeforeBatches + other.queuedBeforeBatches);
    }

    /** Milliseconds until the queue has drained, 1 to 60 s; 10 s while nothing is known of its pace. */
    public long drainMs() {
        double seconds = drainRate > 0 ? queuedTokens / drainRate : UNKNOWN_PACE_S;
        return (long) (1000 * Math.clamp(seconds, 1, 60));
    }
}
