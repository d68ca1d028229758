package io.millrace.gateway.limits;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.gateway.limits.Quotas.Verdict;
import io.millrace.gateway.node.Gossip;
import io.millrace.shared.log.Clock;
import io.millrace.shared.proto.MemberBeat;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.IntUnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Several gateways in virtual time, each of which reads the others' beats a little later. */
class QuotasTest {

    private static final long BEAT_MS = 200;

    /** Virtual time, and the beats of all in the order of the log. */
    private static final class World implements Clock {
        long ms = 1_000_000;
        final Random random;
        final List<Peer> peers = new ArrayList<>();
        long lagMs = 30;
        private final IntUnaryOperator share;

        World(long seed, int gateways) {
            this(seed, gateways, Quotas::share);
        }

        World(long seed, int gateways, IntUnaryOperator share) {
            random = new Random(seed);
            this.share = share;
            for (int i = 0; i < gateways; i++) {
                join();
            }
            pass(3 * BEAT_MS);
        }

        Peer join() {
            Peer peer = new Peer(this, "g" + peers.size());
            peers.add(peer);
            return peer;
        }

        @Override
        public long wallMs() {
            return ms;
        }

        @Override
        public long nanos() {
            return ms * 1_000_000;
        }

        void pass(long millis) {
            for (long end = ms + millis; ms < end; ms++) {
                peers.forEach(Peer::turn);
            }
        }
    }

    private static final class Peer {
        private record Arriving(MemberBeat beat, long atMs) {}

        final World world;
        final String name;
        final Quotas quotas;
        final Deque<Arriving> arriving = new ArrayDeque<>();
        final Set<String> live = new TreeSet<>();
        long beatMs;
        boolean stopped;

        Peer(World world, String name) {
            this.world = world;
            this.name = name;
            this.quotas = new Quotas(name, BEAT_MS, world, world.share);
            this.beatMs = world.ms + world.random.nextLong(BEAT_MS);
        }

        void turn() {
            if (!stopped && world.ms >= beatMs) {
                beatMs += BEAT_MS;
                say(false);
            }
            while (!arriving.isEmpty() && arriving.peek().atMs() <= world.ms) {
                MemberBeat beat = arriving.poll().beat();
                if (beat.getLeaving()) {
                    live.remove(beat.getNode());
                } else {
                    live.add(beat.getNode());
                }
                quotas.heard(beat, live);
            }
        }

        void say(boolean leaving) {
            Gossip.Told told = quotas.tell();
            MemberBeat beat = MemberBeat.newBuilder()
                    .setNode(name)
                    .setRole(MemberBeat.Role.GATEWAY)
                    .setIncarnation(quotas.incarnation())
                    .setLeaving(leaving)
                    .addAllAccounts(told.accounts())
                    .setAccountsBegun(told.begun())
                    .build();
            for (Peer each : world.peers) {
                long at = world.ms + 1 + world.random.nextLong(world.lagMs);
                long before =
                        each.arriving.isEmpty() ? 0 : each.arriving.getLast().atMs();
                each.arriving.add(new Arriving(beat, Math.max(at, before)));
            }
        }

        Verdict begin(Account account, long tokens) {
            return quotas.begin(account, 1, tokens, () -> true);
        }
    }

    private static Account account(int requests, int tokens, int concurrent) {
        return new Account("tenant:t", new TenantLimits(requests, tokens, concurrent));
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 5, 20})
    void togetherTheyLetInWhatTheLimitAllowsAndOneCallMoreForEachOther(int gateways) {
        for (int seed = 0; seed < 10; seed++) {
            Flooded flooded = flood(new World(seed, gateways), gateways, 90_000);
            assertThat(flooded.most()).as("seed %d", seed).isLessThanOrEqualTo(gateways - 1);
            assertThat(flooded.letIn()).as("seed %d", seed).isGreaterThan(600 + 80 * 10);
        }
    }

    /** The mutations that the check above must find: each spends all that is left, or twice its part. */
    @Test
    void gatewaysThatSpendWhatOthersMaySpendTooAreFoundOut() {
        assertThat(flood(new World(1, 5, sharers -> 1), 5, 20_000).most()).isGreaterThan(4);
        assertThat(flood(new World(1, 5, sharers -> Math.max(1, sharers / 2)), 5, 20_000)
                        .most())
                .isGreaterThan(4);
    }

    /**
     * What a tenant without patience got.
     *
     * @param most beyond its 600 a minute, at the worst moment
     */
    private record Flooded(long letIn, double most) {}

    private static Flooded flood(World world, int gateways, long millis) {
        Account account = account(600, 0, 0);
        long begun = world.ms;
        long letIn = 0;
        double most = 0;
        while (world.ms < begun + millis) {
            Peer at = world.peers.get(world.random.nextInt(gateways));
            for (int burst = world.random.nextInt(world.ms % 10_000 < 100 ? 200 : 4); burst > 0; burst--) {
                letIn += at.begin(account, 1) instanceof Verdict.Yes yes ? end(yes) : 0;
            }
            world.pass(5);
            most = Math.max(most, letIn - 600 - (world.ms - begun) / 100.0);
        }
        return new Flooded(letIn, most);
    }

    private static int end(Verdict.Yes yes) {
        yes.call().end(1);
        return 1;
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 5})
    void tokensAreChargedByTheEstimateAndSettledByWhatWasUsed(int gateways) {
        var world = new World(7, gateways);
        Account account = account(0, 10_000, 0);
        record Running(Verdict.Yes yes, long used, long endMs) {}
        List<Running> running = new ArrayList<>();
        long begun = world.ms;
        long used = 0;
        while (world.ms < begun + 300_000) {
            Peer at = world.peers.get(world.random.nextInt(gateways));
            if (at.begin(account, 100) instanceof Verdict.Yes yes) {
                long really = world.random.nextInt(200);
                used += really;
                running.add(new Running(yes, really, world.ms + world.random.nextLong(2_000)));
            }
            world.pass(20);
            running.removeIf(each -> {
                if (each.endMs() > world.ms) {
                    return false;
                }
                each.yes().call().end(each.used());
                return true;
            });
        }
        double allowed = 10_000 + 10_000 * 5.0;
        // What runs may use more than was estimated; each other gateway may let in one call too many.
        assertThat((double) used).isBetween(0.9 * allowed, allowed + 100 * (running.size() + gateways));
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 5})
    void callsAtOneTimeStayUnderTheLimitButForOneAtEachOtherGateway(int gateways) {
        var world = new World(3, gateways);
        Account account = account(0, 0, 8);
        List<Verdict.Yes> running = new ArrayList<>();
        int most = 0;
        for (int turn = 0; turn < 20_000; turn++) {
            Peer at = world.peers.get(world.random.nextInt(gateways));
            if (at.begin(account, 1) instanceof Verdict.Yes yes) {
                running.add(yes);
            }
            most = Math.max(most, running.size());
            if (!running.isEmpty() && world.random.nextInt(4) == 0) {
                running.remove(world.random.nextInt(running.size())).call().end(1);
            }
            world.pass(world.random.nextInt(20));
        }
        assertThat(most).isBetween(8, 8 + gateways - 1);
    }

    @Test
    void whoWaitsAsLongAsIsSaidIsLetIn() {
        for (int gateways : new int[] {1, 3}) {
            var world = new World(11, gateways);
            Account account = account(30, 5_000, 0);
            int refused = 0;
            for (int turn = 0; turn < 400; turn++) {
                Peer at = world.peers.get(world.random.nextInt(gateways));
                long tokens = 1 + world.random.nextInt(900);
                if (at.begin(account, tokens) instanceof Verdict.Yes yes) {
                    end(yes);
                    continue;
                }
                // What others let in just before has been told by then.
                world.pass(2 * BEAT_MS);
                Verdict verdict = at.begin(account, tokens);
                if (verdict instanceof Verdict.UsedUp up) {
                    refused++;
                    world.pass(up.waitMs());
                    assertThat(at.begin(account, tokens))
                            .as("after %s", verdict)
                            .isInstanceOf(Verdict.Yes.class);
                } else {
                    assertThat(verdict).isInstanceOf(Verdict.Yes.class);
                }
            }
            assertThat(refused).isGreaterThan(20);
        }
    }

    @Test
    void aGatewayThatComesLaterKnowsWhatIsUsed() {
        var world = new World(5, 1);
        Account account = account(60, 0, 0);
        for (int i = 0; i < 60; i++) {
            assertThat(world.peers.getFirst().begin(account, 1)).isInstanceOf(Verdict.Yes.class);
        }
        Peer later = world.join();
        world.pass(3 * BEAT_MS);
        assertThat(later.begin(account, 1)).isInstanceOf(Verdict.UsedUp.class);
        assertThat(later.quotas.rates(account).requests())
                .isNotNull()
                .satisfies(rate -> assertThat(rate.remaining()).isZero());
    }

    @Test
    void whatAGatewayThatIsGoneLetInStaysUsedAndItsCallsRunNoMore() {
        var world = new World(6, 2);
        Account account = account(10, 0, 4);
        Peer gone = world.peers.get(1);
        for (int i = 0; i < 4; i++) {
            assertThat(gone.begin(account, 1)).isInstanceOf(Verdict.Yes.class);
            world.pass(3 * BEAT_MS);
        }
        Peer left = world.peers.getFirst();
        assertThat(left.begin(account, 1))
                .isInstanceOfSatisfying(
                        Verdict.UsedUp.class, up -> assertThat(up.what()).isEqualTo("concurrent requests"));
        gone.say(true);
        gone.stopped = true;
        world.pass(BEAT_MS);
        assertThat(left.begin(account, 1)).isInstanceOf(Verdict.Yes.class);
        assertThat(left.quotas.rates(account).requests())
                .isNotNull()
                .satisfies(rate -> assertThat(rate.remaining()).isBetween(5L, 6L));
    }

    @Test
    void accountsThatAreIdleAreForgottenAndBeatsStaySmall() {
        var world = new World(8, 2);
        Peer one = world.peers.getFirst();
        for (int i = 0; i < 3_000; i++) {
            Account account = new Account("tenant:" + i, new TenantLimits(1, 0, 2));
            assertThat(one.begin(account, 1))
                    .isInstanceOfSatisfying(Verdict.Yes.class, yes -> yes.call().end(1));
        }
        assertThat(one.quotas.tell().accounts()).hasSizeLessThanOrEqualTo(Quotas.TOLD_MAX);
        world.pass(10 * BEAT_MS);
        Peer other = world.peers.get(1);
        assertThat(other.quotas.size()).isEqualTo(3_000);
        world.pass(65_000);
        assertThat(one.quotas.size()).isZero();
        assertThat(other.quotas.size()).isZero();
    }
}
