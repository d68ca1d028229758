package io.millrace.standalone.broker;

import io.millrace.shared.error.MillraceException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.List;
import org.apache.kafka.common.Uuid;

/**
 * The Kafka cluster that a broker is a node of. Every node is broker and controller.
 *
 * @param node id of this one, at least 1
 * @param voters all nodes, this one too, as {@code ID@HOST:PORT} of its controller; none: this broker is alone
 * @param name of the cluster, the same on all nodes; its id, with which the nodes' folders are formatted, follows from it
 */
public record BrokerCluster(int node, List<String> voters, String name) {

    private static final int REPLICAS_MAX = 3;

    /** A single broker. */
    public static final BrokerCluster ALONE = new BrokerCluster(1, List.of(), "");

    /** MR-BROKER-007 when a voter cannot be read, or this node is none of them. */
    public BrokerCluster {
        voters = List.copyOf(voters);
        for (String voter : voters) {
            if (!voter.matches("[1-9][0-9]{0,8}@[^@:]+:[0-9]{1,5}")) {
                throw new MillraceException(
                        "MR-BROKER-007",
                        "millrace.broker.voters holds '" + voter
                                + "', which is not of the form ID@HOST:PORT, as in 1@10.0.0.1:9093.");
            }
        }
        int self = node;
        if (!voters.isEmpty() && voters.stream().noneMatch(voter -> voter.startsWith(self + "@"))) {
            throw new MillraceException(
                    "MR-BROKER-007",
                    "millrace.broker.node is " + node + ", which millrace.broker.voters (" + String.join(",", voters)
                            + ") does not name. Give every node all voters, itself included.");
        }
    }

    /** From a list with commas. */
    public static BrokerCluster of(int node, String voters, String name) {
        return new BrokerCluster(
                node,
                Arrays.stream(voters.split(","))
                        .map(String::strip)
                        .filter(each -> !each.isEmpty())
                        .toList(),
                name);
    }

    boolean alone() {
        return voters.isEmpty();
    }

    /** {@code HOST:PORT} of this node's controller. */
    String controller() {
        String own = voters.stream()
                .filter(voter -> voter.startsWith(node + "@"))
                .findFirst()
                .orElseThrow();
        return own.substring(own.indexOf('@') + 1);
    }

    /** Copies of each partition. */
    int replicas() {
        return Math.clamp(voters.size(), 1, REPLICAS_MAX);
    }

    /** Copies that must have a record before it counts: one may always be missing. */
    int inSync() {
        return Math.max(1, replicas() - 1);
    }

    /** Random for a single broker. */
    String id() {
        if (alone()) {
            return Uuid.randomUuid().toString();
        }
        try {
            ByteBuffer digest =
                    ByteBuffer.wrap(MessageDigest.getInstance("SHA-256").digest(name.getBytes(StandardCharsets.UTF_8)));
            // Without its highest bit, so that the text never begins with a minus sign.
            return new Uuid(digest.getLong() >>> 1, digest.getLong()).toString();
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java platform has SHA-256", e);
        }
    }
}
