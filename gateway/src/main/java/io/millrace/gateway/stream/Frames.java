package io.millrace.gateway.stream;

import org.jspecify.annotations.Nullable;

/**
 * Gathers the client's events in their wire form until they are taken to be sent. Not thread-safe.
 *
 * @param <T> what is sent at once
 */
public interface Frames<T> {

    /** Offset of an event that stands in no journal record. */
    long NOWHERE = -1;

    /**
     * Says where the call stands in the log, before its first event.
     *
     * @param req offset of its first request
     * @param begin offset at which its first journal begins
     */
    default void begin(long req, long begin) {}

    /**
     * Adds one event.
     *
     * @param offset of the journal record it comes from, or {@link #NOWHERE}
     * @param type the event's name; null where the interface has none
     */
    void event(long offset, @Nullable String type, CharSequence json);

    /** Adds what keeps a silent connection alive; nothing where the transport needs nothing. */
    void heartbeat();

    /** Bytes gathered and not taken yet. */
    int size();

    /** Takes what was gathered. */
    T take();
}
