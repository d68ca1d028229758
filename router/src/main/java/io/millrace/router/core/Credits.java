package io.millrace.router.core;

import io.millrace.router.core.placement.Fleet;
import io.millrace.shared.proto.ModelCredit;
import io.millrace.shared.proto.ServedModel;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/** What this router may still admit for each model, as its beats say. */
final class Credits {

    private final Context context;

    Credits(Context context) {
        this.context = context;
    }

    List<ModelCredit> now() {
        List<ModelCredit> credits = new ArrayList<>();
        int tenantMax = context.config.queueing().queuedPerTenantMax();
        for (String name : context.workers.models()) {
            Fleet.Offer offer = context.fleet.offer(name);
            if (offer == null) {
                continue;
            }
            ServedModel model = offer.model();
            int queued = context.queues.size(name);
            credits.add(ModelCredit.newBuilder()
                    .setModel(name)
                    .setCredits(Math.max(0, context.config.queueing().queuedMax() - queued))
                    .setQueued(queued)
                    .setQueuedBeforeBatches(queued - context.queues.ofBatches(name))
                    .addAllFullTenants(queued < tenantMax ? Set.of() : context.queues.full(name, tenantMax))
                    .setQueuedTokens(context.queues.tokens(name))
                    .setDrainRate(context.stats.drainRate(name, context.nowMs))
                    .setWorkers(offer.workers())
                    .setMaxModelLen(contextOf(name, offer.weightsHash(), model.getMaxModelLen()))
                    .setNumericsId(model.getNumericsId())
                    .setDtype(model.getDtype())
                    .setParameters(model.getParameters())
                    .addAllAliases(model.getAliasesList())
                    .addAllTasks(model.getTasksList())
                    .setToolFormat(model.getToolFormat())
                    .setReasoningFormat(model.getReasoningFormat())
                    .build());
        }
        return credits;
    }

    /** The shortest context of the workers that may get the request. */
    private int contextOf(String name, long weightsHash, int first) {
        int least = first;
        for (ServedModel model : context.fleet.models(name, weightsHash)) {
            least = Math.min(least, model.getMaxModelLen());
        }
        return least;
    }
}
