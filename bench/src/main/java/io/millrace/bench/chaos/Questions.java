package io.millrace.bench.chaos;

import io.millrace.worker.serving.MockAnswer;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/** What is asked, and what the answers have to be. Thread-safe. */
sealed interface Questions {

    Ask next();

    /** The undisturbed answer. */
    String text(Ask ask);

    /** Its ids; null when only the text is known. */
    int @Nullable [] ids(Ask ask);

    /** Of a mock model: always a new question; the answer is computed. */
    final class Mock implements Questions {

        private static final int PROMPT_MIN = 150;
        private static final int PROMPT_MAX = 600;
        private static final String LETTERS = "abcdefghijklmnopqrstuvwxyz      ";

        private final String weights;
        private final long seed;
        private final int tokensMin;
        private final int tokensMax;
        private final AtomicInteger numbers = new AtomicInteger();

        Mock(String weights, long seed, int tokensMin, int tokensMax) {
            this.weights = weights;
            this.seed = seed;
            this.tokensMin = tokensMin;
            this.tokensMax = tokensMax;
        }

        @Override
        public Ask next() {
            int number = numbers.incrementAndGet();
            var random = new SplittableRandom(seed + number);
            var prompt = new StringBuilder("Question " + number + ": ");
            int length = random.nextInt(PROMPT_MIN, PROMPT_MAX);
            while (prompt.length() < length) {
                prompt.append(LETTERS.charAt(random.nextInt(LETTERS.length())));
            }
            int tokens = random.nextInt(tokensMin, tokensMax + 1);
            return new Ask(
                    number, prompt.toString(), tokens, number % 2 == 0 ? 0 : 0.8, random.nextInt(1, 1 << 30), false);
        }

        @Override
        public String text(Ask ask) {
            return answer(ask).text();
        }

        @Override
        public int[] ids(Ask ask) {
            return answer(ask).ids();
        }

        private MockAnswer answer(Ask ask) {
            return ask.temperature() == 0
                    ? MockAnswer.greedy(weights, ask.prompt(), ask.tokens())
                    : MockAnswer.sampled(weights, ask.prompt(), ask.tokens(), ask.seed());
        }
    }

    /** A few questions again and again, whose answers were written down while nothing was wrong. */
    final class Recorded implements Questions {

        private final List<Ask> asks;
        private final Map<Integer, String> answers = new ConcurrentHashMap<>();
        private final AtomicInteger numbers = new AtomicInteger();

        Recorded(List<Ask> asks) {
            this.asks = List.copyOf(asks);
        }

        /** Of a language model: stories, half of them sampled, some with penalties. */
        static Recorded stories(int count, int tokens) {
            List<String> begins = List.of(
                    "Once upon a time, in a village by the sea,",
                    "The capital of France is",
                    "Here is a list of things to pack for a winter journey:",
                    "def fibonacci(n):",
                    "The three laws of motion say that",
                    "Dear Sir or Madam, I am writing to",
                    "Water boils at a lower temperature on a mountain because",
                    "In the year 2150 the first people on Mars");
            List<Ask> asks = java.util.stream.IntStream.range(0, count)
                    .mapToObj(i -> new Ask(
                            i,
                            begins.get(i % begins.size()),
                            tokens + i % 7,
                            i % 2 == 0 ? 0 : 0.7,
                            1_000 + i,
                            i % 3 == 0))
                    .toList();
            return new Recorded(asks);
        }

        List<Ask> all() {
            return asks;
        }

        void record(Ask ask, String text) {
            answers.put(ask.number(), text);
        }

        @Override
        public Ask next() {
            return asks.get(Math.floorMod(numbers.getAndIncrement(), asks.size()));
        }

        @Override
        public String text(Ask ask) {
            String text = answers.get(ask.number());
            if (text == null) {
                throw new IllegalStateException("question " + ask.number() + " was not asked undisturbed");
            }
            return text;
        }

        @Override
        public int @Nullable [] ids(Ask ask) {
            return null;
        }
    }
}
