package io.millrace.router.sim;

import io.millrace.shared.proto.Attach;
import io.millrace.shared.proto.CancelRequest;
import io.millrace.shared.proto.Detach;
import io.millrace.shared.proto.MemberBeat;
import io.millrace.shared.proto.RequestRecord;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.topic.Topic;

/** A gateway process: submits requests, and now and then cancels, leaves or comes back to one. */
final class SimGateway extends SimProcess {

    private final long incarnation;
    private int left;
    private int number;
    private long nextMs;
    private long beatMs;

    SimGateway(SimWorld world, String node, int requests) {
        super(world, node, 30, 80);
        this.left = requests;
        this.incarnation = world.random.nextLong();
    }

    @Override
    void poll() {
        if (world.now - beatMs >= 230) {
            beatMs = world.now;
            MemberBeat beat = MemberBeat.newBuilder()
                    .setNode(name)
                    .setIncarnation(incarnation)
                    .setRole(MemberBeat.Role.GATEWAY)
                    .setTimeMs(world.now)
                    .build();
            world.log.append(this, Topic.MEMBERS, 0, name, beat.toByteArray(), offset -> {}, () -> {});
        }
        if (left > 0 && world.now >= nextMs) {
            left--;
            nextMs = world.now + world.between(0, 900);
            submit();
        }
    }

    boolean idle() {
        return dead || left == 0;
    }

    private void submit() {
        int partition = world.between(0, world.partitions - 1);
        String id = "%04x-%s-%d".formatted(partition, name, number++);
        boolean keyed = world.chance(0.3);
        Submit submit = Submit.newBuilder()
                .setTenant("t" + world.between(0, 1))
                .setModel(world.chance(0.02) ? "unknown" : SimWorld.MODEL)
                .setSeed(world.random.nextLong())
                .setCreatedMs(world.now)
                .setDeadlineMs(world.now + (world.chance(0.05) ? world.between(0, 3_000) : 45_000))
                .setPriority(world.between(0, 3))
                .setBackground(world.chance(0.7))
                .setStore(world.chance(0.7))
                .setIdempotencyKey(keyed ? id : "")
                .setEstimatedTokens(30)
                .setGateway(name)
                .setPromptText(world.prompt())
                .setN(world.chance(0.2) ? 2 : 1)
                .build();
        send(partition, RequestRecord.newBuilder().setId(id).setSubmit(submit));
        if (keyed && world.chance(0.5)) {
            later(1, 6_000, partition, RequestRecord.newBuilder().setId(id).setSubmit(submit));
        }
        if (world.chance(0.08)) {
            later(
                    1,
                    2_000,
                    partition,
                    RequestRecord.newBuilder()
                            .setId(id)
                            .setCancel(CancelRequest.newBuilder()
                                    .setTenant(submit.getTenant())
                                    .setCause("user")));
        }
        if (world.chance(0.15)) {
            later(
                    1,
                    1_000,
                    partition,
                    RequestRecord.newBuilder()
                            .setId(id)
                            .setDetach(Detach.newBuilder().setGateway(name)));
            if (world.chance(0.5)) {
                later(
                        1_000,
                        3_000,
                        partition,
                        RequestRecord.newBuilder()
                                .setId(id)
                                .setAttach(Attach.newBuilder().setGateway(name)));
            }
        }
    }

    private void later(int fromMs, int toMs, int partition, RequestRecord.Builder record) {
        world.at(world.now + world.between(fromMs, toMs), () -> deliver(() -> send(partition, record)));
    }

    private void send(int partition, RequestRecord.Builder record) {
        byte[] value = record.build().toByteArray();
        world.log.append(this, Topic.REQUESTS, partition, record.getId(), value, offset -> {}, () -> {});
    }
}
