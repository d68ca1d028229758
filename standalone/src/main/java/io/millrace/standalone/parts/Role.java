package io.millrace.standalone.parts;

/** What a process does; several may share one. */
public enum Role {
    GATEWAY,
    ROUTER,
    WORKER
}
