package io.millrace.shared.log.kafka;

import io.millrace.shared.error.MillraceException;
import io.millrace.shared.topic.Topic;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.DescribeTopicsOptions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.config.TopicConfig;
import org.apache.kafka.common.errors.AuthenticationException;
import org.apache.kafka.common.errors.AuthorizationException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Makes the topics, and refuses those on which the protocol would not hold. Every part calls {@link #ensure} as it starts.
 *
 * <p>Errors: {@code MR-LOG-001} a topic keeps less than it must, {@code MR-LOG-002} partition counts differ, {@code MR-LOG-003}
 * another setting is wrong, {@code MR-LOG-004} Kafka did not answer in time, {@code MR-LOG-011} it
 * refuses the account. Stateless.
 */
public final class TopicAdmin {

    private static final Logger LOG = LoggerFactory.getLogger(TopicAdmin.class);
    private static final Set<Topic> SAME_PARTITIONS =
            EnumSet.of(Topic.REQUESTS, Topic.RESPONSES, Topic.RESULTS, Topic.CHECKPOINTS);
    private static final long RETRY_MS = 500;
    private static final long SAY_EVERY_NANOS = 5_000_000_000L;

    private final KafkaSettings settings;

    public TopicAdmin(KafkaSettings settings) {
        this.settings = settings;
    }

    /** Creates what is missing and checks what is there, waiting for Kafka as long as {@code patience} says; what this process may do with them. */
    public static TopicRights ensure(KafkaSettings settings, TopicPlan plan, Duration patience) {
        return new TopicAdmin(settings).withKafka(patience, admin -> new Ensuring(settings, plan, admin).run());
    }

    /** Partition counts of those topics that exist. */
    Map<Topic, Integer> partitionCounts(Duration patience) {
        return withKafka(patience, admin -> {
            Map<Topic, Integer> counts = TopicPlan.byTopic();
            new Ensuring(settings, TopicPlan.defaults(), admin)
                    .describe()
                    .forEach((topic, description) ->
                            counts.put(topic, description.partitions().size()));
            return counts;
        });
    }

    private interface Work<T> {
        T with(Admin admin) throws ExecutionException, InterruptedException;
    }

    private <T> T withKafka(Duration patience, Work<T> work) {
        long start = System.nanoTime();
        long said = start - SAY_EVERY_NANOS + 1_000_000_000L;
        while (true) {
            Throwable error;
            try (Admin admin = Admin.create(settings.admin())) {
                return work.with(admin);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new MillraceException("MR-LOG-004", "interrupted while waiting for Kafka", e);
            } catch (ExecutionException e) {
                error = e.getCause() == null ? e : e.getCause();
            } catch (KafkaException e) {
                error = e;
            }
            if (isHopeless(error)) {
                throw new MillraceException(
                        "MR-LOG-011",
                        "Kafka at %s refuses this account: %s. Check millrace.kafka.client.* and the ACLs of docs/security.md; topics are made by an account that may."
                                .formatted(settings.bootstrapServers(), KafkaLog.rootMessage(error)),
                        error);
            }
            long now = System.nanoTime();
            if (now - start > patience.toNanos()) {
                throw new MillraceException(
                        "MR-LOG-004",
                        "Kafka at %s did not do what was asked within %d s: %s. Is it running, and the address right?"
                                .formatted(
                                        settings.bootstrapServers(), patience.toSeconds(), KafkaLog.rootMessage(error)),
                        error);
            }
            if (now - said >= SAY_EVERY_NANOS) {
                said = now;
                LOG.warn(
                        "waiting for Kafka at {} (for {} s, of at most {} s): {}",
                        settings.bootstrapServers(),
                        (now - start) / 1_000_000_000L,
                        patience.toSeconds(),
                        KafkaLog.rootMessage(error));
            }
            sleep();
        }
    }

    private static boolean isHopeless(Throwable error) {
        return error instanceof AuthenticationException || error instanceof AuthorizationException;
    }

    private static void sleep() {
        try {
            Thread.sleep(RETRY_MS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new MillraceException("MR-LOG-004", "interrupted while waiting for Kafka", e);
        }
    }

    /** One pass over the topics with one connection. */
    private static final class Ensuring {

        private final KafkaSettings settings;
        private final TopicPlan plan;
        private final Admin admin;

        Ensuring(KafkaSettings settings, TopicPlan plan, Admin admin) {
            this.settings = settings;
            this.plan = plan;
            this.admin = admin;
        }

        TopicRights run() throws ExecutionException, InterruptedException {
            Map<Topic, TopicDescription> there = describe();
            create(there.keySet());
            there = describe();
            for (int tries = 0; there.size() < Topic.values().length && tries < 20; tries++) {
                // A broker learns of a new topic a moment after the controller made it.
                sleep();
                there = describe();
            }
            checkPartitions(there);
            checkSettings();
            awaitLeaders(there);
            Map<Topic, Set<AclOperation>> allowed = new HashMap<>();
            there.forEach((topic, description) -> {
                if (description.authorizedOperations() != null) {
                    allowed.put(topic, description.authorizedOperations());
                }
            });
            return new TopicRights(settings, allowed);
        }

        /**
         * Every partition answers from its leader. Without it, a producer whose first batch meets a partition that has no leader
         * yet can see a later batch of its pipeline accepted before that one, which then is out of sequence for ever.
         */
        private void awaitLeaders(Map<Topic, TopicDescription> there) throws ExecutionException, InterruptedException {
            Map<TopicPartition, OffsetSpec> ends = new HashMap<>();
            for (TopicDescription description : there.values()) {
                description
                        .partitions()
                        .forEach(each -> ends.put(
                                new TopicPartition(description.name(), each.partition()), OffsetSpec.latest()));
            }
            admin.listOffsets(ends).all().get();
        }

        Map<Topic, TopicDescription> describe() throws ExecutionException, InterruptedException {
            Set<String> names = new HashSet<>(admin.listTopics().names().get());
            Map<Topic, TopicDescription> found = TopicPlan.byTopic();
            List<Topic> wanted = new ArrayList<>();
            for (Topic topic : Topic.values()) {
                if (names.contains(settings.name(topic))) {
                    wanted.add(topic);
                }
            }
            Map<String, TopicDescription> descriptions = admin.describeTopics(
                            wanted.stream().map(settings::name).toList(),
                            new DescribeTopicsOptions().includeAuthorizedOperations(true))
                    .allTopicNames()
                    .get();
            for (Topic topic : wanted) {
                TopicDescription description = descriptions.get(settings.name(topic));
                if (description != null) {
                    found.put(topic, description);
                }
            }
            return found;
        }

        private void create(Set<Topic> there) throws ExecutionException, InterruptedException {
            Set<Topic> missing = EnumSet.allOf(Topic.class);
            missing.removeAll(there);
            if (missing.isEmpty()) {
                return;
            }
            int replicas = plan.replicationFactor() > 0
                    ? plan.replicationFactor()
                    : Math.min(3, admin.describeCluster().nodes().get().size());
            Map<String, KafkaFuture<Void>> made = admin.createTopics(missing.stream()
                            .map(topic -> new NewTopic(settings.name(topic), plan.partitions(topic), (short) replicas)
                                    .configs(plan.settings(topic, replicas)))
                            .toList())
                    .values();
            for (KafkaFuture<Void> each : made.values()) {
                try {
                    each.get();
                } catch (ExecutionException e) {
                    // Another part may have been quicker: then it is checked like any other.
                    if (!(e.getCause() instanceof TopicExistsException)) {
                        throw e;
                    }
                }
            }
            LOG.info(
                    "created {} topics with replication factor {}: {}",
                    missing.size(),
                    replicas,
                    missing.stream().map(settings::name).collect(Collectors.joining(", ")));
        }

        private void checkPartitions(Map<Topic, TopicDescription> there) {
            Map<Topic, Integer> counts = TopicPlan.byTopic();
            for (Topic topic : SAME_PARTITIONS) {
                TopicDescription description = there.get(topic);
                counts.put(
                        topic,
                        description == null ? 0 : description.partitions().size());
            }
            if (Set.copyOf(counts.values()).size() > 1) {
                String numbers = counts.entrySet().stream()
                        .map(e -> settings.name(e.getKey()) + " " + e.getValue())
                        .collect(Collectors.joining(", "));
                throw new MillraceException(
                        "MR-LOG-002",
                        "these topics must have the same number of partitions, but have: " + numbers
                                + ". Create them anew, or use another topic prefix");
            }
        }

        private void checkSettings() throws ExecutionException, InterruptedException {
            Map<ConfigResource, Config> configs = admin.describeConfigs(
                            Arrays.stream(Topic.values()).map(this::resource).toList())
                    .all()
                    .get();
            for (Topic topic : Topic.values()) {
                Config config = configs.get(resource(topic));
                if (config != null) {
                    check(topic, config);
                }
            }
        }

        private ConfigResource resource(Topic topic) {
            return new ConfigResource(ConfigResource.Type.TOPIC, settings.name(topic));
        }

        private void check(Topic topic, Config config) {
            String policy = value(config, TopicConfig.CLEANUP_POLICY_CONFIG);
            if (!Set.of(policy.split(","))
                    .equals(Set.of(topic.cleanup().policy().split(",")))) {
                throw wrong(
                        topic,
                        TopicConfig.CLEANUP_POLICY_CONFIG,
                        policy,
                        topic.cleanup().policy());
            }
            if (topic.cleanup() != Topic.Cleanup.COMPACT) {
                checkKept(topic, config);
            }
            long size = Long.parseLong(value(config, TopicConfig.MAX_MESSAGE_BYTES_CONFIG));
            if (size < KafkaSettings.RECORD_BYTES_MAX) {
                throw wrong(
                        topic,
                        TopicConfig.MAX_MESSAGE_BYTES_CONFIG,
                        Long.toString(size),
                        "at least " + KafkaSettings.RECORD_BYTES_MAX);
            }
            String stamp = value(config, TopicConfig.MESSAGE_TIMESTAMP_TYPE_CONFIG);
            if (!stamp.equals("LogAppendTime")) {
                throw wrong(topic, TopicConfig.MESSAGE_TIMESTAMP_TYPE_CONFIG, stamp, "LogAppendTime");
            }
        }

        private void checkKept(Topic topic, Config config) {
            long kept = Long.parseLong(value(config, TopicConfig.RETENTION_MS_CONFIG));
            long least = plan.least(topic);
            if (kept >= 0 && kept < least) {
                throw new MillraceException(
                        "MR-LOG-001",
                        "topic %s keeps records for %,d ms, must for %,d ms (short by %,d). Raise its retention.ms"
                                .formatted(settings.name(topic), kept, least, least - kept));
            }
            String bytes = value(config, TopicConfig.RETENTION_BYTES_CONFIG);
            if (!bytes.equals("-1")) {
                throw new MillraceException(
                        "MR-LOG-001",
                        "topic %s keeps at most %s bytes a partition, so perhaps for less than %,d ms. Set its retention.bytes to -1"
                                .formatted(settings.name(topic), bytes, least));
            }
        }

        private MillraceException wrong(Topic topic, String setting, String is, String wanted) {
            return new MillraceException(
                    "MR-LOG-003",
                    "topic %s has %s=%s, must be %s. Change it, or use another topic prefix"
                            .formatted(settings.name(topic), setting, is, wanted));
        }

        private static String value(Config config, String name) {
            var entry = config.get(name);
            return entry == null || entry.value() == null ? "" : entry.value();
        }
    }
}
