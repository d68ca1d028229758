package io.millrace.gateway.node;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import io.millrace.shared.log.Clock;
import io.millrace.shared.log.Log;
import io.millrace.shared.log.LogReader;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.proto.Admit;
import io.millrace.shared.proto.Claim;
import io.millrace.shared.proto.End;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.RunningAttempt;
import io.millrace.shared.proto.Tokens;
import io.millrace.shared.proto.TraceContext;
import io.millrace.shared.proto.WorkerBeat;
import io.millrace.shared.topic.Topic;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** What the console is told of workers, tenants and fail-overs. */
class ClusterReadingTest {

    private static final Duration TIME = Duration.ofMillis(300);
    private static final ByteString FIRST = aid(1);
    private static final ByteString SECOND = aid(2);

    /** A log of which nothing is read but what the test hands out. */
    private static final class StillLog implements Log {

        @Override
        public CompletableFuture<Long> append(
                Topic topic, int partition, String key, byte @Nullable [] value, TraceContext trace) {
            throw new UnsupportedOperationException();
        }

        @Override
        public int partitions(Topic topic) {
            return topic == Topic.WORKERS ? 1 : 2;
        }

        @Override
        public LogReader reader(String name, LogReader.Listener listener) {
            return new LogReader() {
                @Override
                public void assign(Topic topic, int partition, long fromOffset) {
                    assertThat(fromOffset).isEqualTo(END);
                }

                @Override
                public void unassign(Topic topic, int partition) {}

                @Override
                public void execute(Runnable task) {
                    task.run();
                }

                @Override
                public void executeLater(Runnable task) {
                    task.run();
                }

                @Override
                public void close() {}
            };
        }

        @Override
        public void close() {}
    }

    private final List<ClusterPicture> pictures = new ArrayList<>();
    private long nanos;
    private long offset;
    private long journalOffset;
    private final Clock clock = new Clock() {
        @Override
        public long wallMs() {
            return nanos / 1_000_000;
        }

        @Override
        public long nanos() {
            return nanos;
        }
    };
    private final ClusterReading reading = new ClusterReading(
            new StillLog(),
            new ClusterView(new NodeSettings("g", TIME, TIME, TIME, TIME, TIME, TIME, 1024), clock, Gossip.NONE),
            clock,
            pictures::add);

    @Test
    void aClaimAfterTheFirstIsAFailoverWithWhatItKeeps() {
        beat("w1", 1000);
        beat("w2", 1000);
        journal(JournalRecord.newBuilder()
                .setAdmit(Admit.newBuilder()
                        .setFoldVersion(1)
                        .setTenant("alice")
                        .setModel("m")
                        .setN(1)));
        journal(claim(1, FIRST, "w1"));
        journal(tokens(FIRST, 0, 5, 6));
        journal(claim(2, SECOND, "w2"));
        journal(tokens(FIRST, 2, 7));
        journal(tokens(SECOND, 2, 8, 9, 10));
        ClusterPicture seen = picture();
        assertThat(seen.failovers())
                .containsExactly(new ClusterPicture.Failover(2000, "id", "alice", 2, "w1", "w2", "worker_lost", 2));
        assertThat(seen.tenants()).isEqualTo(Map.of("alice", new ClusterPicture.Tenant(1, 0, 5)));
        assertThat(seen.workers())
                .as("tokens that the fold accepts")
                .extracting(ClusterPicture.Worker::tokens)
                .containsExactly(2L, 3L);
        assertThat(seen.partitions().getFirst()).isEqualTo(new ClusterPicture.Partition(0, 6, 6, 1));

        journal(JournalRecord.newBuilder()
                .setEnd(End.newBuilder().setAid(SECOND).setN(5).setFinishReason("stop")));
        assertThat(picture().tenants()).isEqualTo(Map.of("alice", new ClusterPicture.Tenant(1, 1, 5)));
        assertThat(pictures.getLast().partitions().getFirst().open()).isZero();
    }

    @Test
    void ofARequestThatBeganBeforeOnlyTheLostWorkerIsKnown() {
        beat("w1", 1000);
        picture();
        journal(tokens(FIRST, 40, 1, 2));
        journal(claim(2, SECOND, "w2"));
        ClusterPicture seen = picture();
        assertThat(seen.workers().getFirst().tokens()).isEqualTo(2);
        assertThat(seen.failovers())
                .containsExactly(new ClusterPicture.Failover(2000, "id", "", 2, "w1", "w2", "worker_lost", -1));
        assertThat(seen.tenants()).isEmpty();
    }

    @Test
    void silenceIsJudgedByTheLogAndAWorkerThatSaysGoodbyeIsGone() {
        beat("w1", 1000);
        beat("w2", 1000);
        beat("w2", 4000);
        assertThat(picture().workers())
                .extracting(ClusterPicture.Worker::silentMs)
                .containsExactly(3000L, 0L);
        reading.onRecord(new LogRecord(
                Topic.WORKERS,
                0,
                offset++,
                4200,
                "w2",
                WorkerBeat.newBuilder().setWorker("w2").setLeaving(true).build().toByteArray()));
        assertThat(picture().workers())
                .extracting(worker -> worker.beat().getWorker())
                .containsExactly("w1");
        reading.onRecord(new LogRecord(Topic.WORKERS, 0, offset++, 60_000, "router/r", new byte[0]));
        assertThat(picture().workers()).isEmpty();
    }

    @Test
    void aFailoverIsToldBeforeTheNextTurn() {
        journal(claim(2, SECOND, "w2"));
        nanos += 60_000_000;
        reading.onTick();
        assertThat(pictures).hasSize(1);
    }

    private ClusterPicture picture() {
        nanos += 1_000_000_000;
        reading.onTick();
        return pictures.getLast();
    }

    private void beat(String worker, long timeMs) {
        WorkerBeat beat = WorkerBeat.newBuilder()
                .setWorker(worker)
                .addAttempts(RunningAttempt.newBuilder()
                        .setId(worker.equals("w1") ? "id" : "other")
                        .setAid(worker.equals("w1") ? FIRST : SECOND))
                .build();
        reading.onRecord(new LogRecord(Topic.WORKERS, 0, offset++, timeMs, worker, beat.toByteArray()));
    }

    private void journal(JournalRecord.Builder record) {
        JournalRecord whole = record.setId("id").build();
        reading.onRecord(new LogRecord(Topic.RESPONSES, 0, journalOffset++, 2000, "id", whole.toByteArray()));
    }

    private static JournalRecord.Builder claim(int attempt, ByteString aid, String worker) {
        return JournalRecord.newBuilder()
                .setClaim(Claim.newBuilder()
                        .setAttempt(attempt)
                        .setAid(aid)
                        .setWorker(worker)
                        .setCause(attempt > 1 ? "worker_lost" : "")
                        .setFence(attempt > 1));
    }

    private static JournalRecord.Builder tokens(ByteString aid, int start, Integer... ids) {
        return JournalRecord.newBuilder()
                .setTokens(Tokens.newBuilder().setAid(aid).setStart(start).addAllIds(List.of(ids)));
    }

    private static ByteString aid(int fill) {
        byte[] bytes = new byte[16];
        java.util.Arrays.fill(bytes, (byte) fill);
        return ByteString.copyFrom(bytes);
    }
}
