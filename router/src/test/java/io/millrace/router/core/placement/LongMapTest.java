package io.millrace.router.core.placement;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

class LongMapTest {

    @Test
    void itHoldsWhatAHashMapHolds() {
        SplittableRandom random = new SplittableRandom(1);
        LongMap<String> map = new LongMap<>();
        Map<Long, String> expected = new HashMap<>();
        for (int i = 0; i < 20_000; i++) {
            // Few keys that collide a lot, so that removals move others.
            long key = random.nextInt(300) * 16L;
            if (random.nextInt(3) == 0) {
                map.remove(key);
                expected.remove(key);
            } else {
                map.put(key, "v" + i);
                expected.put(key, "v" + i);
            }
            assertThat(map.get(key)).isEqualTo(expected.get(key));
            assertThat(map.size()).isEqualTo(expected.size());
        }
        expected.forEach((key, value) -> assertThat(map.get(key)).isEqualTo(value));
        List<String> all = new ArrayList<>();
        map.all().forEachRemaining(all::add);
        assertThat(all).containsExactlyInAnyOrderElementsOf(expected.values());
    }
}
