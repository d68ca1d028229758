/** The parts of Millrace as Spring beans, and starting any set of them in one JVM. Imports gateway, router, worker, broker, configuration. */
@NullMarked
package io.millrace.standalone.parts;

import org.jspecify.annotations.NullMarked;
