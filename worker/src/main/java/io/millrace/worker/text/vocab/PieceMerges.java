package io.millrace.worker.text.vocab;

import java.util.Arrays;

/**
 * The merges of a sentencepiece BPE vocabulary: two tokens whose texts joined are a token may merge, the better its score the
 * sooner (Kudo and Richardson, "SentencePiece", 2018).
 */
final class PieceMerges {

    private PieceMerges() {}

    static PairRanks of(Vocabulary vocabulary, TokenTable table) {
        String[] tokens = vocabulary.tokens();
        int[] ranks = ranks(vocabulary);
        int splits = Arrays.stream(tokens)
                .mapToInt(token -> Math.max(0, token.length() - 1))
                .sum();
        PairRanks pairs = new PairRanks(splits);
        for (int id = 0; id < tokens.length; id++) {
            String token = tokens[id];
            if (!isPiece(vocabulary, id)) {
                continue;
            }
            for (int i = 1; i < token.length(); i++) {
                if (Character.isLowSurrogate(token.charAt(i))) {
                    continue;
                }
                int left = table.id(token.substring(0, i));
                int right = table.id(token.substring(i));
                if (left >= 0 && right >= 0 && isPiece(vocabulary, left) && isPiece(vocabulary, right)) {
                    pairs.put(left, right, ranks[id], id);
                }
            }
        }
        return pairs;
    }

    static boolean isPiece(Vocabulary vocabulary, int id) {
        return vocabulary.types()[id] == TokenType.NORMAL;
    }

    /** Place of each token's score among all scores, best first; equal scores share one. */
    private static int[] ranks(Vocabulary vocabulary) {
        float[] scores = vocabulary.scores();
        if (scores.length == 0) {
            throw vocabulary.broken(
                    "a sentencepiece vocabulary needs " + vocabulary.source().scores());
        }
        float[] sorted = scores.clone();
        Arrays.sort(sorted);
        int[] ranks = new int[scores.length];
        for (int id = 0; id < ranks.length; id++) {
            int place = Arrays.binarySearch(sorted, scores[id]);
            while (place > 0 && sorted[place - 1] == scores[id]) {
                place--;
            }
            ranks[id] = sorted.length - place;
        }
        return ranks;
    }
}
