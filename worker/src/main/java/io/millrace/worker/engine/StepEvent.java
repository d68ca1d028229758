package io.millrace.worker.engine;

import jdk.jfr.Category;
import jdk.jfr.Description;
import jdk.jfr.Event;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;

/** A step's model call, for JDK Flight Recorder. */
@Name("io.millrace.EngineStep")
@Label("Engine step")
@Category({"Millrace", "Engine"})
@Description("One call of the model with all sequences of the step")
@StackTrace(false)
final class StepEvent extends Event {

    @Label("Model")
    String model = "";

    @Label("Step")
    long step;

    @Label("Sequences")
    int sequences;

    @Label("Decode tokens")
    int decodeTokens;

    @Label("Prefill tokens")
    int prefillTokens;

    @Label("KV blocks used")
    int kvBlocksUsed;

    @Label("Failed")
    boolean failed;
}
