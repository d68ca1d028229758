/** The log on Apache Kafka: appending, reading, and the topics' care. Imports the log seam, topics, errors and spring-kafka. */
@NullMarked
package io.millrace.shared.log.kafka;

import org.jspecify.annotations.NullMarked;
