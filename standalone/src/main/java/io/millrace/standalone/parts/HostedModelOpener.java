package io.millrace.standalone.parts;

import io.millrace.standalone.config.WorkerProperties;
import io.millrace.worker.backend.KvType;
import io.millrace.worker.backend.cpu.CpuSettings;
import io.millrace.worker.serving.ModelHost;
import io.millrace.worker.serving.ModelOptions;
import io.millrace.worker.serving.ModelProgress;
import io.millrace.worker.serving.ServedModel;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/** Opens models by way of the worker's own host. */
final class HostedModelOpener implements ModelOpener {

    private final ModelHost host = ModelHost.fromEnvironment();

    @Override
    public Opened open(WorkerProperties properties, Consumer<String> progress) {
        ModelOptions options = new ModelOptions(
                properties.engine(),
                properties.maxModelLen(),
                properties.forceMaxModelLen(),
                properties.kvMemory().toBytes(),
                properties.kvHostBytes(),
                properties.maxRunning(),
                properties.stepTokens(),
                properties.threadsEach(),
                properties.mockStep().toNanos(),
                properties.mockRow().toNanos(),
                properties.task(),
                KvType.of(properties.kvDtype()),
                CpuSettings.of(
                        properties.activations(),
                        properties.pinThreads(),
                        properties.repackCache(),
                        properties.products()),
                properties.toolFormat(),
                properties.reasoningFormat());
        host.checkTogether(properties.models(), options, ModelProgress.lines(progress));
        List<ServedModel> models = new ArrayList<>();
        Runnable close = () -> models.forEach(ServedModel::close);
        try {
            for (String spec : properties.models()) {
                models.add(host.load(spec, options, ModelProgress.lines(progress)));
            }
        } catch (RuntimeException | Error failure) {
            close.run();
            throw failure;
        }
        return new Opened(List.copyOf(models), close);
    }
}
