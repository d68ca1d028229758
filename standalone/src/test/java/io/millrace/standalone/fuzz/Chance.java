package io.millrace.standalone.fuzz;

import java.util.List;
import java.util.SplittableRandom;

/** The chance of one case: the same seed and number give the same case. Not thread-safe. */
final class Chance {

    private final SplittableRandom random;

    Chance(long seed, long number) {
        this.random = new SplittableRandom(seed * 0x9E3779B97F4A7C15L + number);
    }

    int below(int bound) {
        return random.nextInt(bound);
    }

    /** True so many times of a hundred. */
    boolean percent(int percent) {
        return random.nextInt(100) < percent;
    }

    long number() {
        return random.nextLong();
    }

    <T> T of(List<T> all) {
        return all.get(random.nextInt(all.size()));
    }

    @SafeVarargs
    final <T> T one(T... all) {
        return all[random.nextInt(all.length)];
    }

    byte[] bytes(int count) {
        byte[] bytes = new byte[count];
        random.nextBytes(bytes);
        return bytes;
    }
}
