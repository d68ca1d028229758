package io.millrace.standalone.config;

import io.millrace.gateway.config.GatewayProperties;
import io.millrace.router.RouterProperties;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Every record of properties, and the variables of the environment that are no properties. */
public final class AllProperties {

    /** Read by the script, the model cache, the log configuration. */
    private static final List<String> ENVIRONMENT_ONLY = List.of(
            "MILLRACE_HOME",
            "MILLRACE_CACHE",
            "MILLRACE_LOG_LEVEL",
            "MILLRACE_LOG_FORMAT",
            "MILLRACE_JAVA_OPTS",
            "MILLRACE_HEAP_PERCENT",
            "MILLRACE_API_KEY",
            "MILLRACE_BENCH_PEER",
            "MILLRACE_ISA",
            "MILLRACE_KERNELS",
            "MILLRACE_CUDA_KERNELS",
            "MILLRACE_CUBLASLT",
            "MILLRACE_CUDA_ATTENTION",
            "MILLRACE_NVTX");

    private AllProperties() {}

    /** Prefix of the properties to the record that holds them, in the order of the documentation. */
    public static Map<String, Class<? extends Record>> records() {
        Map<String, Class<? extends Record>> all = new LinkedHashMap<>();
        all.put("millrace.broker", BrokerProperties.class);
        all.put("millrace.kafka", KafkaProperties.class);
        all.put("millrace.gateway", GatewayProperties.class);
        all.put("millrace.router", RouterProperties.class);
        all.put("millrace.worker", WorkerProperties.class);
        all.put("millrace.telemetry", TelemetryProperties.class);
        return all;
    }

    public static List<String> environmentOnly() {
        return ENVIRONMENT_ONLY;
    }

    public static UnknownProperties unknown() {
        return new UnknownProperties(records(), ENVIRONMENT_ONLY);
    }
}
