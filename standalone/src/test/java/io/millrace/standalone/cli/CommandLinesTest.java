package io.millrace.standalone.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.ModelRuntime;
import org.junit.jupiter.api.Test;

class CommandLinesTest {

    @Test
    void aDeviceThatIsLostWhileAModelIsLoadedEndsTheProcessWithTheStatusOfOneThatIsLostLater() {
        var lost = new MillraceException(ModelRuntime.DEVICE_LOST, "gone");
        assertThat(CommandLines.status(lost)).isEqualTo(RunningProcess.LOST).isEqualTo(3);
        assertThat(CommandLines.status(new IllegalStateException("loading", lost)))
                .isEqualTo(3);
        assertThat(CommandLines.status(new MillraceException("MR-MEM-001", "full")))
                .isEqualTo(1);
        assertThat(CommandLines.status(new IllegalStateException("?"))).isEqualTo(1);
    }
}
