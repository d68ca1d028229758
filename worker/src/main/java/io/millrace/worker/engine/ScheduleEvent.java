package io.millrace.worker.engine;

import jdk.jfr.Category;
import jdk.jfr.Description;
import jdk.jfr.Event;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;

/** The planning of a step, for JDK Flight Recorder. */
@Name("io.millrace.Schedule")
@Label("Schedule")
@Category({"Millrace", "Scheduler"})
@Description("Planning of a step: who runs, who waits, who loses its blocks")
@StackTrace(false)
final class ScheduleEvent extends Event {

    @Label("Model")
    String model = "";

    @Label("Rows")
    int rows;

    @Label("Running")
    int running;

    @Label("Waiting")
    int waiting;

    @Label("Preempted")
    int preempted;
}
