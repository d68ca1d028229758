/** What tests of every module share: a real broker. Imports Kafka's server. */
@NullMarked
package io.millrace.shared.testing;

import org.jspecify.annotations.NullMarked;
