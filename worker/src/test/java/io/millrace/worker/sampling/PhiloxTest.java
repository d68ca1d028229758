package io.millrace.worker.sampling;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class PhiloxTest {

    @Test
    void givesTheKnownAnswersOfTheReferenceImplementation() {
        assertThat(block(new int[] {0, 0, 0, 0}, 0, 0)).containsExactly(0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8);
        assertThat(block(new int[] {-1, -1, -1, -1}, -1, -1))
                .containsExactly(0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd);
        assertThat(block(new int[] {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0xa4093822, 0x299f31d0))
                .containsExactly(0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1);
    }

    @Test
    void differsByEverythingThatItIsFor() {
        double u = Philox.uniform(7, 1, 40, Philox.Purpose.SAMPLE);
        assertThat(u).isEqualTo(Philox.uniform(7, 1, 40, Philox.Purpose.SAMPLE));
        assertThat(u).isNotEqualTo(Philox.uniform(8, 1, 40, Philox.Purpose.SAMPLE));
        assertThat(u).isNotEqualTo(Philox.uniform(7 + (1L << 32), 1, 40, Philox.Purpose.SAMPLE));
        assertThat(u).isNotEqualTo(Philox.uniform(7, 0, 40, Philox.Purpose.SAMPLE));
        assertThat(u).isNotEqualTo(Philox.uniform(7, 1, 41, Philox.Purpose.SAMPLE));
        assertThat(u).isNotEqualTo(Philox.uniform(7, 1, 40, Philox.Purpose.ACCEPT));
    }

    @Test
    void isUniform() {
        int[] bins = new int[20];
        int draws = 40_000;
        for (int i = 0; i < draws; i++) {
            bins[(int) (Philox.uniform(99, i & 3, i >> 2, Philox.Purpose.SAMPLE) * bins.length)]++;
        }
        double expected = (double) draws / bins.length;
        double chi2 = 0;
        for (int bin : bins) {
            chi2 += (bin - expected) * (bin - expected) / expected;
        }
        // 19 degrees of freedom: 43.8 is the 99.9th percentile
        assertThat(chi2).isLessThan(43.8);
    }

    private static int[] block(int[] counter, int key0, int key1) {
        Philox.block(counter, key0, key1);
        return counter;
    }
}
