package io.millrace.worker.text.vocab;

/** The merges of a vocabulary that lists them, best first. */
final class MergeList {

    private MergeList() {}

    static PairRanks of(Vocabulary vocabulary, TokenTable table) {
        String[] merges = vocabulary.merges();
        String name = vocabulary.source().merges();
        if (merges.length == 0) {
            throw vocabulary.broken("a byte-pair vocabulary needs " + name + ", which is missing or empty");
        }
        PairRanks ranks = new PairRanks(merges.length);
        for (int rank = 0; rank < merges.length; rank++) {
            String merge = merges[rank];
            int space = merge.indexOf(' ', 1);
            if (space < 0) {
                throw vocabulary.broken(
                        name + "[" + rank + "] of " + merges.length + " (\"" + merge + "\") is no pair of tokens");
            }
            String left = merge.substring(0, space);
            String right = merge.substring(space + 1);
            ranks.put(
                    member(vocabulary, table, rank, left),
                    member(vocabulary, table, rank, right),
                    rank,
                    member(vocabulary, table, rank, left + right));
        }
        return ranks;
    }

    private static int member(Vocabulary vocabulary, TokenTable table, int rank, String token) {
        int id = table.id(token);
        if (id < 0) {
            throw vocabulary.broken(vocabulary.source().merges() + "[" + rank + "] of " + vocabulary.merges().length
                    + " (\"" + vocabulary.merges()[rank] + "\") does not join two tokens to a third: \"" + token
                    + "\" is no token");
        }
        return id;
    }
}
