package io.millrace.bench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.List;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ArrayNode;

class KernelLadderTest {

    private static JsonNode line(String isa, String type, int rows, double gops) {
        return new JsonMapper()
                .createObjectNode()
                .put("what", "product")
                .put("isa", isa)
                .put("type", type)
                .put("rows", rows)
                .put("gops", gops);
    }

    @Test
    void versionsOfAProductStandTogetherFromTheReferenceToTheWinner() {
        KernelLadder ladder = KernelLadder.of(List.of(
                line("portable", "Q4_0", 1, 5),
                line("portable", "Q4_0", 16, 6),
                line("avx2", "Q4_0", 1, 60),
                line("avx2", "Q4_0", 16, 200),
                line("avx512", "Q4_0", 1, 55),
                line("avx512", "Q4_0", 16, 900)));

        assertThat(ladder.all()).extracting(KernelLadder.Rungs::winner).containsExactly("avx2", "avx512");
        assertThat(ladder.all().getFirst().gain()).isCloseTo(12, within(1e-9));
        assertThat(ladder.all().getLast().gops()).containsOnlyKeys("portable", "avx2", "avx512");
        ArrayNode written = new JsonMapper().createArrayNode();
        ladder.write(written);
        assertThat(written.get(1).path("gain").asDouble()).isEqualTo(150);
    }
}
