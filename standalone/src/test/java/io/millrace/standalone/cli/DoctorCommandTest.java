package io.millrace.standalone.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;

class DoctorCommandTest {

    @Test
    void theKernelsAndTheEngineThatWillRunAreNamed() {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        PrintStream out = new PrintStream(bytes, true, StandardCharsets.UTF_8);
        CommandLines.run(new String[] {"doctor"}, out, out);
        String said = bytes.toString(StandardCharsets.UTF_8);
        assertThat(said).containsPattern("(ok|-) +CPU kernels +\\S").containsPattern("(ok|-) +CUDA kernels +\\S");
        assertThat(said).containsPattern("ok +Engine +(cpu|torch), as ");
    }
}
