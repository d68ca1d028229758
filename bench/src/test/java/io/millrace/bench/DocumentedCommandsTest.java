package io.millrace.bench;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.standalone.cli.CommandLines;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import picocli.CommandLine;
import picocli.CommandLine.MissingParameterException;
import picocli.CommandLine.ParameterException;

/** Every {@code ./millrace …} that the README or a page of docs/ shows is one that the script or the command line takes. */
class DocumentedCommandsTest {

    private static final Path ROOT = Path.of("..").toAbsolutePath().normalize();
    private static final Pattern IN_PROSE = Pattern.compile("`\\./millrace ([^`]+)`");
    private static final Pattern IN_CODE = Pattern.compile("^    (?:[A-Z_]+=\\S+ )*\\./millrace (.+)$");
    private static final Pattern WORD = Pattern.compile("'([^']*)'|(\\S+)");
    private static final Pattern CASE = Pattern.compile("(?m)^  ([a-z-]+)\\)$");
    private static final Set<String> NUMBERS = Set.of("N", "TOKENS", "PORT");

    private final CommandLine commands =
            CommandLines.create(new PrintStream(OutputStream.nullOutputStream()), System.err);

    @Test
    void everyCommandThatIsShownIsOneThatIsTaken() throws IOException {
        List<Path> pages = new ArrayList<>(List.of(ROOT.resolve("README.md")));
        try (Stream<Path> docs = Files.list(ROOT.resolve("docs"))) {
            docs.filter(path -> path.toString().endsWith(".md")).forEach(pages::add);
        }
        Set<String> ofTheScript = Set.copyOf(CASE.matcher(Files.readString(ROOT.resolve("millrace")))
                .results()
                .map(match -> match.group(1))
                .toList());
        assertThat(ofTheScript).contains("test", "build");
        List<String> wrong = new ArrayList<>();
        int shown = 0;
        for (Path page : pages) {
            for (String line : Files.readAllLines(page)) {
                var code = IN_CODE.matcher(line);
                if (code.matches()) {
                    shown++;
                    check(code.group(1), false, ofTheScript, page, wrong);
                }
                for (var match : IN_PROSE.matcher(line).results().toList()) {
                    shown++;
                    check(match.group(1), true, ofTheScript, page, wrong);
                }
            }
        }
        assertThat(wrong).isEmpty();
        assertThat(shown).isGreaterThan(40);
    }

    /** A command in a sentence may leave out what it needs; one to be pasted may not. */
    private void check(String command, boolean prose, Set<String> ofTheScript, Path page, List<String> wrong) {
        List<String> words = words(command);
        if (ofTheScript.contains(words.getFirst())) {
            return;
        }
        try {
            commands.parseArgs(words.toArray(String[]::new));
        } catch (MissingParameterException missing) {
            if (!prose) {
                wrong.add(page.getFileName() + ": " + command + ": " + missing.getMessage());
            }
        } catch (ParameterException refused) {
            wrong.add(page.getFileName() + ": " + command + ": " + refused.getMessage());
        }
    }

    /** The words of a command up to its end, with values for placeholders. */
    private static List<String> words(String command) {
        List<String> words = new ArrayList<>();
        String own = command.replaceAll("\\s(#|&&?|\\||>|;)(\\s.*|$)", "").replaceAll("[\\[\\]]", "");
        for (var match : WORD.matcher(own).results().toList()) {
            String word = match.group(1) != null ? match.group(1) : match.group(2);
            word = NUMBERS.contains(word) ? "1" : word.equals("SIZE") ? "1GB" : word;
            boolean rest = word.equals("…") || word.equals("...");
            if (!rest) {
                words.add(word);
            } else if (words.getLast().startsWith("--")) {
                words.add("X");
            }
        }
        return words;
    }
}
