package io.millrace.shared.id;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class PrefixHasherTest {

    @Test
    void equalPrefixesHaveEqualHashesAndTheFirstDifferenceChangesAllThatFollow() {
        String common = "x".repeat(600);
        var one = new PrefixHasher("m", "", "salt", 64)
                .add("user", common + "a".repeat(600))
                .hashes();
        var two = new PrefixHasher("m", "", "salt", 64)
                .add("user", common + "b".repeat(600))
                .hashes();
        assertThat(one).hasSize(4).hasSameSizeAs(two);
        assertThat(one.subList(0, 2)).isEqualTo(two.subList(0, 2));
        assertThat(one.get(2)).isNotEqualTo(two.get(2));
        assertThat(one.get(3)).isNotEqualTo(two.get(3));
    }

    @Test
    void modelAdapterSaltAndRoleSeparatePrefixes() {
        String text = "x".repeat(300);
        var base = new PrefixHasher("m", "", "s", 8).add("user", text).hashes();
        assertThat(new PrefixHasher("n", "", "s", 8).add("user", text).hashes()).isNotEqualTo(base);
        assertThat(new PrefixHasher("m", "a", "s", 8).add("user", text).hashes())
                .isNotEqualTo(base);
        assertThat(new PrefixHasher("m", "", "t", 8).add("user", text).hashes()).isNotEqualTo(base);
        assertThat(new PrefixHasher("m", "", "s", 8).add("system", text).hashes())
                .isNotEqualTo(base);
        assertThat(new PrefixHasher("ms", "", "", 8).add("user", text).hashes()).isNotEqualTo(base);
    }

    @Test
    void onlyWholeChunksAreHashedAndNotMoreThanAsked() {
        assertThat(new PrefixHasher("m", "", "", 8).add("user", "short").hashes())
                .isEmpty();
        assertThat(new PrefixHasher("m", "", "", 8)
                        .add("user", "y".repeat(100_000))
                        .hashes())
                .hasSize(8);
    }

    @Test
    void promptHashIsTheBeginningOfSha256OverLittleEndianIds() {
        // sha256(01000000 02000000) = 34fb5c825de7ca4aea6e712f19d439c1da0c92c37b423936c5f618545ca4fa1f
        assertThat(PromptHash.of(new int[] {1, 2})).isEqualTo(0x34fb5c825de7ca4aL);
        assertThat(PromptHash.of(new int[] {2, 1})).isNotEqualTo(PromptHash.of(new int[] {1, 2}));
    }
}
