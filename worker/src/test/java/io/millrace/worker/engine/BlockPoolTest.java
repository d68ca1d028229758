package io.millrace.worker.engine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.millrace.worker.engine.PrefixCache.BlockHash;
import org.junit.jupiter.api.Test;

class BlockPoolTest {

    private final PrefixCache.Hasher hasher = new PrefixCache.Hasher();

    @Test
    void theLeastRecentlyUsedIdleBlockIsTakenFirstAndOnlyWhenNoneIsFree() {
        BlockPool pool = new BlockPool(4);
        int[] blocks = {pool.take(), pool.take(), pool.take()};
        for (int i = 0; i < 3; i++) {
            pool.publish(blocks[i], name(i));
        }
        for (int i : new int[] {1, 0, 2}) {
            pool.release(blocks[i]);
        }
        pool.retain(pool.find(name(1)));
        pool.release(blocks[1]);
        assertThat(pool.available()).isEqualTo(4);
        int free = pool.take();
        assertThat(free).isNotIn(blocks[0], blocks[1], blocks[2]);
        assertThat(pool.take()).isEqualTo(blocks[0]);
        assertThat(pool.find(name(0))).isEqualTo(-1);
        assertThat(pool.take()).isEqualTo(blocks[2]);
        assertThat(pool.find(name(1))).isEqualTo(blocks[1]);
        assertThat(pool.take()).isEqualTo(blocks[1]);
        assertThat(pool.evictions()).isEqualTo(3);
        assertThatThrownBy(pool::take).hasMessageContaining("all 4 are referenced");
    }

    @Test
    void theFirstBlockOfANameIsTheOneThatIsFound() {
        BlockPool pool = new BlockPool(2);
        int first = pool.take();
        int second = pool.take();
        pool.publish(first, name(7));
        pool.publish(second, name(7));
        pool.release(second);
        assertThat(pool.find(name(7))).isEqualTo(first);
        pool.release(first);
        pool.checkIntegrity(new int[2]);
        pool.forgetAll();
        pool.checkIntegrity(new int[2]);
        assertThat(pool.find(name(7))).isEqualTo(-1);
        assertThat(pool.available()).isEqualTo(2);
    }

    @Test
    void integrityFindsALeakAndADoubleRelease() {
        BlockPool pool = new BlockPool(2);
        int block = pool.take();
        assertThatThrownBy(() -> pool.checkIntegrity(new int[2])).hasMessageContaining("1 references, held 0");
        pool.release(block);
        pool.checkIntegrity(new int[2]);
        assertThatThrownBy(() -> pool.release(block)).hasMessageContaining("more often than taken");
    }

    @Test
    void namesDependOnEverythingBefore() {
        BlockHash root = hasher.root("m", 0, "");
        assertThat(root).isNotEqualTo(hasher.root("m", 1, "")).isNotEqualTo(hasher.root("", 0, "m"));
        int[] ids = {1, 2, 3, 4};
        BlockHash a = hasher.next(root, ids, 0, 2);
        assertThat(hasher.next(a, ids, 2, 2)).isNotEqualTo(hasher.next(root, ids, 2, 2));
        assertThat(hasher.next(root, ids, 0, 2)).isEqualTo(a);
    }

    private BlockHash name(int id) {
        return hasher.next(hasher.root("m", 0, ""), new int[] {id}, 0, 1);
    }
}
