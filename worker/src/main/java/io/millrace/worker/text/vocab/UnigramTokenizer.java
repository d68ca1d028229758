package io.millrace.worker.text.vocab;

import io.millrace.worker.text.PieceBytes;

/**
 * Unigram language model: of all ways to cut the text into tokens the one with the largest sum of scores (Kudo, "Subword
 * Regularization", 2018; Viterbi's algorithm). What no token covers becomes its bytes, or the unknown token where those are
 * missing; a run of it is one. Thread-safe.
 */
final class UnigramTokenizer extends VocabularyTokenizer {

    /** By how much an unknown character is worse than the worst token, as in sentencepiece. */
    private static final double UNKNOWN_PENALTY = 10;

    private static final int UNKNOWN = -1;

    private final float[] scores;
    private final SpaceNormalizer normalizer;
    private final ByteFallback fallback;
    private final PieceTrie trie;
    private final double unknownScore;
    private final boolean byWords;
    private final WordCache cache = new WordCache();

    UnigramTokenizer(Vocabulary vocabulary) {
        this(vocabulary, new TokenTable(vocabulary));
    }

    private UnigramTokenizer(Vocabulary vocabulary, TokenTable table) {
        // Files without the flags mean an EOS and no BOS, as T5.
        super(vocabulary, table, table.bytes(PieceBytes::of, PieceBytes::spaced), false, true);
        if (vocabulary.scores().length == 0) {
            throw vocabulary.broken(
                    "a unigram vocabulary needs " + vocabulary.source().scores());
        }
        this.scores = vocabulary.scores();
        this.normalizer = new SpaceNormalizer(vocabulary);
        this.fallback = new ByteFallback(vocabulary, table);
        this.trie = new PieceTrie(vocabulary);
        double worst = 0;
        for (int id = 0; id < scores.length; id++) {
            if (PieceMerges.isPiece(vocabulary, id)) {
                worst = Math.min(worst, scores[id]);
            }
        }
        this.unknownScore = worst - UNKNOWN_PENALTY;
        this.byWords = SpaceWords.areIndependent(vocabulary);
    }

    @Override
    void encodeText(String text, IdBuffer out) {
        String normal = normalizer.normalize(text);
        Emitter emitter = new Emitter(normal, out);
        int start = 0;
        while (start < normal.length()) {
            int end = byWords ? SpaceWords.end(normal, start) : normal.length();
            int[] cut = cache.get(normal, start, end);
            if (cut == null) {
                cut = cut(normal, start, end);
                cache.put(normal, start, end, cut);
            }
            emitter.word(start, cut);
            start = end;
        }
        emitter.finish();
    }

    /** The best way through a word: pairs of (id or {@link #UNKNOWN}, length in chars). */
    private int[] cut(String text, int start, int end) {
        int n = end - start;
        double[] best = new double[n + 1];
        int[] from = new int[n + 1];
        int[] ids = new int[n + 1];
        java.util.Arrays.fill(best, 1, n + 1, Double.NEGATIVE_INFINITY);
        for (int at = 0; at < n; ) {
            int width = Character.charCount(text.codePointAt(start + at));
            boolean single = false;
            int node = PieceTrie.ROOT;
            for (int i = at; i < n; i++) {
                node = trie.next(node, text.charAt(start + i));
                if (node < 0) {
                    break;
                }
                int id = trie.id(node);
                if (id >= 0) {
                    single |= i + 1 - at == width;
                    offer(best, from, ids, at, i + 1, id, scores[id]);
                }
            }
            if (!single) {
                offer(best, from, ids, at, at + width, UNKNOWN, unknownScore);
            }
            at += width;
        }
        IdBuffer backwards = new IdBuffer(16);
        for (int at = n; at > 0; at = from[at]) {
            backwards.add(at - from[at]);
            backwards.add(ids[at]);
        }
        int[] cut = backwards.toArray();
        for (int i = 0, j = cut.length - 1; i < j; i++, j--) {
            int swapped = cut[i];
            cut[i] = cut[j];
            cut[j] = swapped;
        }
        return cut;
    }

    private static void offer(double[] best, int[] from, int[] ids, int at, int to, int id, double score) {
        if (best[at] + score > best[to]) {
            best[to] = best[at] + score;
            from[to] = at;
            ids[to] = id;
        }
    }

    /** Appends words, with one fallback for each run of unknown characters, also over a word's beginning. */
    private final class Emitter {
        private final String text;
        private final IdBuffer out;
        private int unknownFrom = -1;
        private int at;

        private Emitter(String text, IdBuffer out) {
            this.text = text;
            this.out = out;
        }

        private void word(int start, int[] cut) {
            at = start;
            for (int i = 0; i < cut.length; i += 2) {
                if (cut[i] == UNKNOWN) {
                    unknownFrom = unknownFrom < 0 ? at : unknownFrom;
                } else {
                    finish();
                    out.add(cut[i]);
                }
                at += cut[i + 1];
            }
        }

        private void finish() {
            if (unknownFrom >= 0) {
                fallback.encode(text.substring(unknownFrom, at), false, out);
                unknownFrom = -1;
            }
        }
    }

    @Override
    public boolean dropsFirstSpace() {
        return normalizer.addsPrefix();
    }
}
