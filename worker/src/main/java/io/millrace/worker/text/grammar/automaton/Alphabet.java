package io.millrace.worker.text.grammar.automaton;

import java.util.ArrayList;
import java.util.BitSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Symbols in classes that some sets do not tell apart.
 *
 * @param classes disjoint sets
 * @param classesOf for each of the given sets, which classes make it up
 */
record Alphabet(CharSet[] classes, int[][] classesOf) {

    /** The coarsest one for these sets. */
    static Alphabet of(List<CharSet> sets, Budget budget) {
        // Where sets begin (index) and end (~index).
        TreeMap<Integer, List<Integer>> events = new TreeMap<>();
        for (int i = 0; i < sets.size(); i++) {
            int[] bounds = sets.get(i).bounds();
            for (int b = 0; b < bounds.length; b += 2) {
                events.computeIfAbsent(bounds[b], k -> new ArrayList<>()).add(i);
                events.computeIfAbsent(bounds[b + 1] + 1, k -> new ArrayList<>())
                        .add(~i);
            }
        }
        Map<BitSet, List<CharSet>> parts = new LinkedHashMap<>();
        BitSet active = new BitSet();
        int from = 0;
        for (Map.Entry<Integer, List<Integer>> event : events.entrySet()) {
            budget.spend(1 + active.size() / 64);
            if (!active.isEmpty()) {
                parts.computeIfAbsent((BitSet) active.clone(), k -> new ArrayList<>())
                        .add(CharSet.range(from, event.getKey() - 1));
            }
            from = event.getKey();
            event.getValue().forEach(i -> active.set(i < 0 ? ~i : i, i >= 0));
        }
        List<CharSet> classes = new ArrayList<>();
        List<List<Integer>> of = new ArrayList<>();
        sets.forEach(set -> of.add(new ArrayList<>()));
        parts.forEach((members, ranges) -> {
            members.stream().forEach(i -> of.get(i).add(classes.size()));
            classes.add(CharSet.union(ranges));
        });
        return new Alphabet(
                classes.toArray(CharSet[]::new),
                of.stream()
                        .map(list -> list.stream().mapToInt(Integer::intValue).toArray())
                        .toArray(int[][]::new));
    }
}
