/** Profiles of engines as timelines, with the share of the roofline. Imports the engine's recordings. */
@NullMarked
package io.millrace.worker.profile;

import org.jspecify.annotations.NullMarked;
