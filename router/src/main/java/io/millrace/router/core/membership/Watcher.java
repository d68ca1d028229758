package io.millrace.router.core.membership;

/** Hears at once of whatever changes at a worker. Called on the router's thread. */
public interface Watcher {

    /** A first or later beat, another verdict, or a rate learned anew. */
    void changed(Worker worker);

    /** It is none of the workers any more. */
    void forgotten(Worker worker);

    /** The router sends it something, or is about to. */
    void sent(Worker worker, Worker.Load load);

    /** What was sent is no load of it any more. */
    void over(Worker worker, Worker.Load load);
}
