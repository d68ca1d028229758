/** A real KRaft broker in our own JVM. Imports Kafka's server and coded errors. */
@NullMarked
package io.millrace.standalone.broker;

import org.jspecify.annotations.NullMarked;
