package io.millrace.bench;

import com.google.protobuf.ByteString;
import com.google.protobuf.MessageLite;
import io.millrace.shared.id.PrefixHasher;
import io.millrace.shared.proto.Admit;
import io.millrace.shared.proto.Assignment;
import io.millrace.shared.proto.ChatInput;
import io.millrace.shared.proto.ChoiceResult;
import io.millrace.shared.proto.Claim;
import io.millrace.shared.proto.Dispatch;
import io.millrace.shared.proto.End;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.MemberBeat;
import io.millrace.shared.proto.ModelCredit;
import io.millrace.shared.proto.PrefixHint;
import io.millrace.shared.proto.RequestRecord;
import io.millrace.shared.proto.Result;
import io.millrace.shared.proto.RunningAttempt;
import io.millrace.shared.proto.Sampling;
import io.millrace.shared.proto.ServedModel;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.proto.Tokens;
import io.millrace.shared.proto.WorkerBeat;
import java.util.Collection;
import java.util.Collections;
import java.util.List;
import java.util.SplittableRandom;
import java.util.random.RandomGenerator;

/**
 * What a deployment asks of the log, computed from the sizes of real records and from what one broker was measured to do.
 *
 * @param tokensPerS of all workers
 * @param answerTokens of a mean answer
 * @param promptBytes of a mean prompt
 * @param streamTokensPerS what one stream gets
 * @param beatsPerS of each node
 * @param replicas of each record
 * @param batch records that share a batch of Kafka
 * @param brokerRecordsPerS what one broker takes, measured without replicas
 * @param brokerBytesPerS what a broker's network carries each way
 * @param use share of what is possible that is planned for
 */
record LogScale(
        int workers,
        int gateways,
        int routers,
        double tokensPerS,
        int answerTokens,
        int promptBytes,
        double streamTokensPerS,
        double beatsPerS,
        int replicas,
        int batch,
        double brokerRecordsPerS,
        double brokerBytesPerS,
        double use) {

    static final String ID = "0003a74fc1be2f9d7704d1e95a0b6cde31aa";
    private static final ByteString AID = ByteString.copyFrom(new byte[16]);
    private static final int RECORD_FRAME = 12;
    private static final int BATCH_FRAME = 61;
    private static final int TEXT_BYTES = 4;
    private static final int HINTS = 128;
    private static final int HINT_TOKENS = 640;

    /**
     * Of one topic.
     *
     * @param recordBytes of a mean record, with its key and Kafka's frame
     * @param readers how often each record is read, but by other brokers
     */
    record Row(String topic, double recordsPerS, double recordBytes, double readers) {

        double bytesPerS() {
            return recordsPerS * recordBytes;
        }
    }

    double requestsPerS() {
        return tokensPerS / answerTokens;
    }

    /** Streams that are open at a time. */
    double streams() {
        return tokensPerS / streamTokensPerS;
    }

    List<Row> rows() {
        double requests = requestsPerS();
        int running = (int) Math.round(streams() / workers);
        return List.of(
                row("requests", requests, submit(), 1),
                row("responses: tokens", tokensPerS, tokens(), 2),
                row("responses: admit, claim, end", 3 * requests, frame(), 2),
                row("assignments", requests, dispatch(), 1),
                row(
                        "workers",
                        (workers + routers) * beatsPerS,
                        mean(workers, workerBeat(running), routerMarker()),
                        routers),
                row(
                        "members",
                        (gateways + routers) * beatsPerS,
                        mean(gateways, gatewayBeat(), routerBeat()),
                        gateways + (double) routers),
                row("results", requests, result(), 0));
    }

    private Row row(String topic, double recordsPerS, MessageLite value, double readers) {
        return row(topic, recordsPerS, value.getSerializedSize(), readers);
    }

    private Row row(String topic, double recordsPerS, double bytes, double readers) {
        return new Row(topic, recordsPerS, bytes + ID.length() + frameBytes(), readers);
    }

    /** Bytes of a mean record, of which so many are of one kind and one for each router of the other. */
    private double mean(int count, MessageLite some, MessageLite ofRouters) {
        double bytes = (double) count * some.getSerializedSize() + (double) routers * ofRouters.getSerializedSize();
        return bytes / (count + routers);
    }

    /** Kafka's own, of each record. */
    double frameBytes() {
        return RECORD_FRAME + (double) BATCH_FRAME / batch;
    }

    double recordsPerS() {
        return rows().stream().mapToDouble(Row::recordsPerS).sum();
    }

    /** Written by clients. */
    double bytesPerS() {
        return rows().stream().mapToDouble(Row::bytesPerS).sum();
    }

    /** Read by clients and by followers. */
    double readBytesPerS() {
        return rows().stream()
                .mapToDouble(row -> row.bytesPerS() * (row.readers() + replicas - 1))
                .sum();
    }

    /** Brokers that take all records with their copies. */
    int brokersForRecords() {
        return (int) Math.ceil(recordsPerS() * replicas / (brokerRecordsPerS * use));
    }

    /** Brokers whose networks carry all. */
    int brokersForBytes() {
        double in = bytesPerS() * replicas;
        return (int) Math.ceil(Math.max(in, readBytesPerS()) / (brokerBytesPerS * use));
    }

    int brokers() {
        return Math.max(replicas, Math.max(brokersForRecords(), brokersForBytes()));
    }

    /**
     * Partitions of requests and responses.
     *
     * @param foldedPerS records that one thread folds a second
     */
    int partitions(double foldedPerS) {
        double each = foldedPerS * use;
        int least = Math.max(gateways, (int) Math.ceil(tokensPerS / each));
        return Integer.highestOneBit(Math.max(1, 2 * least - 1));
    }

    /** Records that each router folds a second. */
    double foldedByRouter() {
        return (tokensPerS + 3 * requestsPerS()) / routers;
    }

    /** Produce requests a second at one broker, when each step of each worker sends to all brokers that its streams' partitions lie on. */
    double producesPerBroker() {
        double running = streams() / workers;
        return workers * streamTokensPerS * Math.min(brokers(), running) / brokers();
    }

    private Submit.Builder body() {
        return body("gateway-1", answerTokens, 1_800_000_000_000L, new SplittableRandom(1));
    }

    private Submit.Builder body(String gateway, int length, long nowMs, RandomGenerator hashes) {
        Submit.Builder body = Submit.newBuilder()
                .setTenant("default")
                .setModel("model")
                .setSeed(-1)
                .setCreatedMs(nowMs)
                .setDeadlineMs(nowMs + 600_000)
                .setGateway(gateway)
                .setStore(true)
                .setSampling(Sampling.newBuilder().setMaxTokens(length))
                .setChat(ChatInput.newBuilder().setMessagesJson("x".repeat(promptBytes)));
        for (int i = 0; i < promptBytes / PrefixHasher.CHUNK_BYTES; i++) {
            body.addPrefixHash(hashes.nextLong());
        }
        return body;
    }

    private RequestRecord submit() {
        return RequestRecord.newBuilder().setId(ID).setSubmit(body()).build();
    }

    /** A request for an answer of that length. */
    RequestRecord submit(String id, String gateway, int length, long nowMs, RandomGenerator hashes) {
        return RequestRecord.newBuilder()
                .setId(id)
                .setSubmit(body(gateway, length, nowMs, hashes))
                .build();
    }

    private static JournalRecord.Builder journal() {
        return JournalRecord.newBuilder().setId(ID).setReq(1_000_000);
    }

    static JournalRecord admit(String id, long req) {
        return journal()
                .setId(id)
                .setReq(req)
                .setAdmit(Admit.newBuilder()
                        .setFoldVersion(1)
                        .setTenant("default")
                        .setModel("model")
                        .setWeightsHash(42)
                        .setN(1))
                .build();
    }

    static JournalRecord claim(String id, long req, ByteString aid) {
        return claim(id, req, aid, "worker-1", -1);
    }

    static JournalRecord claim(String id, long req, ByteString aid, String worker, long incarnation) {
        return journal()
                .setId(id)
                .setReq(req)
                .setClaim(Claim.newBuilder()
                        .setAttempt(1)
                        .setAid(aid)
                        .setWorker(worker)
                        .setIncarnation(incarnation)
                        .setWeightsHash(42)
                        .setTokenizerHash(-1)
                        .setNumericsId("cpu-avx512-1")
                        .setPromptLength(500)
                        .setPromptHash(-1))
                .build();
    }

    /** Bytes of a mean record of those that frame a stream. */
    private double frame() {
        int sum = admit(ID, 1_000_000).getSerializedSize()
                + claim(ID, 1_000_000, AID).getSerializedSize()
                + end(ID, 1_000_000, AID, answerTokens).getSerializedSize();
        return sum / 3.0;
    }

    static JournalRecord tokens(String id, long req, ByteString aid, int start) {
        return journal()
                .setId(id)
                .setReq(req)
                .setTokens(Tokens.newBuilder()
                        .setAid(aid)
                        .setStart(start)
                        .addIds(30_000)
                        .setText("x".repeat(TEXT_BYTES)))
                .build();
    }

    static JournalRecord end(String id, long req, ByteString aid, int count) {
        return journal()
                .setId(id)
                .setReq(req)
                .setEnd(End.newBuilder().setAid(aid).setN(count).setFinishReason("stop"))
                .build();
    }

    private JournalRecord tokens() {
        return tokens(ID, 1_000_000, AID, answerTokens / 2);
    }

    private Assignment dispatch() {
        return Assignment.newBuilder()
                .setId(ID)
                .setReq(1_000_000)
                .setIncarnation(-1)
                .setDispatch(
                        Dispatch.newBuilder().setAttempt(1).setSubmit(body()).setWeightsHash(-1))
                .build();
    }

    private static WorkerBeat workerBeat(int running) {
        RunningAttempt attempt = RunningAttempt.newBuilder()
                .setId(ID)
                .setReq(1_000_000)
                .setPartition(77)
                .setAid(AID)
                .setAttempt(1)
                .build();
        return workerBeat(Collections.nCopies(running, attempt), Collections.nCopies(HINTS, -1L));
    }

    /** A beat of a worker that runs these, and has these prefixes cached. */
    static WorkerBeat workerBeat(Collection<RunningAttempt> attempts, Collection<Long> prefixes) {
        ServedModel.Builder model = ServedModel.newBuilder()
                .setName("model")
                .setWeightsHash(42)
                .setTokenizerHash(-1)
                .setNumericsId("cpu-avx512-1")
                .setMaxModelLen(8192)
                .setRunning(attempts.size())
                .setMaxRunning(64)
                .setKvBlocksTotal(8192)
                .setKvBlocksFree(4096)
                .setBlockTokens(16)
                .setPrefillTokensPerS(8_000)
                .setDecodeStepS(0.05);
        for (long prefix : prefixes) {
            model.addPrefixHints(PrefixHint.newBuilder().setHash(prefix).setTokens(HINT_TOKENS));
        }
        return WorkerBeat.newBuilder()
                .setWorker("worker-1")
                .setIncarnation(-1)
                .setSlot(500)
                .setTimeMs(1_800_000_000_000L)
                .addAllAttempts(attempts)
                .setLiveness("10.0.0.1:40000")
                .addModels(model)
                .build();
    }

    private static MemberBeat.Builder memberBeat(String node, MemberBeat.Role role) {
        return MemberBeat.newBuilder()
                .setNode(node)
                .setRole(role)
                .setIncarnation(-1)
                .setTimeMs(1_800_000_000_000L);
    }

    private static MemberBeat gatewayBeat() {
        return memberBeat("gateway-1", MemberBeat.Role.GATEWAY).build();
    }

    private static MemberBeat routerBeat() {
        return memberBeat("router-1", MemberBeat.Role.ROUTER)
                .addCredits(ModelCredit.newBuilder()
                        .setModel("model")
                        .setCredits(4_000)
                        .setDrainRate(1e5)
                        .setWorkers(1_000)
                        .setMaxModelLen(8192)
                        .setNumericsId("cpu-avx512-1"))
                .addAllPartitions(List.of(1, 2, 3, 4, 5, 6))
                .build();
    }

    /** What a router writes to the workers' topic, to see its progress. */
    private static WorkerBeat routerMarker() {
        return WorkerBeat.newBuilder()
                .setIncarnation(-1)
                .setSlot(-1)
                .setTimeMs(1_800_000_000_000L)
                .build();
    }

    private Result result() {
        return Result.newBuilder()
                .setId(ID)
                .setTenant("default")
                .setSubmit(body())
                .addChoices(ChoiceResult.newBuilder()
                        .setText("x".repeat(TEXT_BYTES * answerTokens))
                        .addAllIds(Collections.nCopies(answerTokens, 30_000)))
                .build();
    }
}
