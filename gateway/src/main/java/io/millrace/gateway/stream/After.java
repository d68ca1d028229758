package io.millrace.gateway.stream;

/** Which events of a stream the client has already. */
public sealed interface After {

    /** None. */
    After NOTHING = new Sequence(-1);

    /** Whether it has event K of the record at that offset, the event of that number in the whole stream, from 0. */
    boolean has(long offset, int k, long number);

    /** All up to that number. */
    record Sequence(long last) implements After {
        @Override
        public boolean has(long offset, int k, long number) {
            return number <= last;
        }
    }

    /** All up to that place. */
    record Place(Cursor last) implements After {
        @Override
        public boolean has(long offset, int k, long number) {
            return offset < last.offset() || (offset == last.offset() && k <= last.k());
        }
    }
}
