package io.millrace.standalone.fuzz;

/**
 * What is sent over a connection, and what may be expected.
 *
 * @param shape in which errors come
 * @param head whether answers have no body
 */
record HttpCase(String kind, byte[] bytes, Answer answer, Shape shape, boolean head) {

    /** Of errors. */
    enum Shape {
        OPENAI,
        ANTHROPIC,
        /** It depends on how much of the request could be read. */
        EITHER
    }

    /** What the client does once it has sent everything. */
    enum Answer {
        /** It reads an answer, which must come. */
        MUST,
        /** The server may wait for more: the client goes when nothing comes soon. */
        MAY,
        /** The client goes without a word. */
        NONE
    }
}
