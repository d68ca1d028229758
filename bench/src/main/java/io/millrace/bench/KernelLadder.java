package io.millrace.bench;

import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/** One product's versions, one for each instruction set, in the order in which they were measured: the first is the reference. */
record KernelLadder(List<Rungs> all) {

    /**
     * The versions of one product.
     *
     * @param gops billions of operations a second, by instruction set
     */
    record Rungs(String what, String type, int rows, Map<String, Double> gops) {

        String winner() {
            return gops.entrySet().stream()
                    .max(Map.Entry.comparingByValue())
                    .orElseThrow()
                    .getKey();
        }

        /** The winner's rate over the reference's. */
        double gain() {
            double reference = gops.values().iterator().next();
            return Objects.requireNonNull(gops.get(winner())) / reference;
        }
    }

    private record Product(String what, String type, int rows) {}

    /** From lines of the kernels' benchmark. */
    static KernelLadder of(Iterable<JsonNode> lines) {
        Map<Product, Map<String, Double>> rates = new LinkedHashMap<>();
        for (JsonNode line : lines) {
            var product = new Product(
                    line.path("what").asString(),
                    line.path("type").asString(),
                    line.path("rows").asInt());
            rates.computeIfAbsent(product, key -> new LinkedHashMap<>())
                    .put(line.path("isa").asString(), line.path("gops").asDouble());
        }
        List<Rungs> all = new ArrayList<>();
        rates.forEach((product, gops) -> all.add(new Rungs(product.what(), product.type(), product.rows(), gops)));
        all.sort(Comparator.comparing(Rungs::type).thenComparing(Rungs::what).thenComparingInt(Rungs::rows));
        return new KernelLadder(List.copyOf(all));
    }

    void print(PrintWriter print) {
        print.println("From the reference to the winner, in GOPS:");
        for (Rungs rungs : all) {
            print.printf("%-7s %-5s %4d rows", rungs.what(), rungs.type(), rungs.rows());
            rungs.gops().forEach((isa, gops) -> print.printf("  %s %.0f", isa, gops));
            print.printf("  -> %s, %.1f x%n", rungs.winner(), rungs.gain());
        }
    }

    void write(ArrayNode to) {
        for (Rungs rungs : all) {
            ObjectNode one = to.addObject()
                    .put("what", rungs.what())
                    .put("type", rungs.type())
                    .put("rows", rungs.rows());
            ObjectNode gops = one.putObject("gops");
            rungs.gops().forEach(gops::put);
            one.put("winner", rungs.winner()).put("gain", Math.round(10 * rungs.gain()) / 10.0);
        }
    }
}
