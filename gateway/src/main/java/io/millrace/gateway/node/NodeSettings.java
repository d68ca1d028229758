package io.millrace.gateway.node;

import java.time.Duration;

/**
 * How this gateway behaves among the others and towards its clients.
 *
 * @param node id of this gateway, unique in the cluster
 * @param beat between two beats in {@code members}
 * @param memberTimeout silence after which a member counts as gone
 * @param appendTimeout after which a request that Kafka did not confirm is answered with 503
 * @param openAfter without a token, a stream is opened with 200 and heartbeats
 * @param heartbeat silence in an open stream after which a comment is sent
 * @param deadlineGrace after a request's deadline, before this gateway gives up on its journal
 * @param lagBytesMax most bytes that wait for one slow client before it is cut
 */
public record NodeSettings(
        String node,
        Duration beat,
        Duration memberTimeout,
        Duration appendTimeout,
        Duration openAfter,
        Duration heartbeat,
        Duration deadlineGrace,
        int lagBytesMax) {}
