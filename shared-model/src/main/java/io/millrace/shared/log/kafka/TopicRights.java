package io.millrace.shared.log.kafka;

import io.millrace.shared.error.MillraceException;
import io.millrace.shared.topic.Topic;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.common.acl.AclOperation;

/** What Kafka lets this process do with each topic. */
public final class TopicRights {

    private final String bootstrapServers;
    private final String topicPrefix;
    private final Map<Topic, Set<AclOperation>> allowed;

    TopicRights(KafkaSettings settings, Map<Topic, Set<AclOperation>> allowed) {
        this.bootstrapServers = settings.bootstrapServers();
        this.topicPrefix = settings.topicPrefix();
        this.allowed = Map.copyOf(allowed);
    }

    /** Throws MR-LOG-011, which names all that is missing, unless that part may do all that it does. */
    public void require(TopicAccess part) {
        List<String> missing = new ArrayList<>();
        for (Topic topic : Topic.values()) {
            Set<AclOperation> operations = allowed.get(topic);
            if (operations == null) {
                continue; // A broker that does not tell.
            }
            if (part.reads(topic) && !operations.contains(AclOperation.READ)) {
                missing.add("READ " + topicPrefix + topic.baseName());
            }
            if (part.writes(topic) && !operations.contains(AclOperation.WRITE)) {
                missing.add("WRITE " + topicPrefix + topic.baseName());
            }
        }
        if (!missing.isEmpty()) {
            throw new MillraceException(
                    "MR-LOG-011",
                    "Kafka at %s does not let this %s do its work: it lacks %s. Is it another part's account? docs/security.md has the ACLs of each part."
                            .formatted(
                                    bootstrapServers,
                                    part.name().toLowerCase(Locale.ROOT),
                                    String.join(", ", missing)));
        }
    }
}
