package io.millrace.worker.text.jinja;

import java.time.LocalDateTime;
import java.time.format.TextStyle;
import java.time.temporal.ChronoField;
import java.time.temporal.IsoFields;
import java.util.Locale;

/** {@code strftime} in the C locale; {@code %-d} and the like leave the padding out. */
final class Strftime {

    private Strftime() {}

    static String format(LocalDateTime t, String format) {
        StringBuilder out = new StringBuilder();
        for (int i = 0; i < format.length(); i++) {
            char c = format.charAt(i);
            if (c != '%' || i + 1 == format.length()) {
                out.append(c);
                continue;
            }
            char code = format.charAt(++i);
            if (code == '-' && i + 1 < format.length()) {
                code = format.charAt(++i);
                String text = one(t, code).stripLeading();
                int zeros = 0;
                while (zeros < text.length() - 1 && text.charAt(zeros) == '0') {
                    zeros++;
                }
                out.append(text, zeros, text.length());
            } else {
                out.append(one(t, code));
            }
        }
        return out.toString();
    }

    private static String one(LocalDateTime t, char code) {
        return switch (code) {
            case 'a' -> t.getDayOfWeek().getDisplayName(TextStyle.SHORT, Locale.ENGLISH);
            case 'A' -> t.getDayOfWeek().getDisplayName(TextStyle.FULL, Locale.ENGLISH);
            case 'b', 'h' -> t.getMonth().getDisplayName(TextStyle.SHORT, Locale.ENGLISH);
            case 'B' -> t.getMonth().getDisplayName(TextStyle.FULL, Locale.ENGLISH);
            case 'c' -> format(t, "%a %b %e %H:%M:%S %Y");
            case 'C' -> "%02d".formatted(t.getYear() / 100);
            case 'd' -> "%02d".formatted(t.getDayOfMonth());
            case 'D', 'x' -> format(t, "%m/%d/%y");
            case 'e' -> "%2d".formatted(t.getDayOfMonth());
            case 'f' -> "%06d".formatted(t.getNano() / 1_000);
            case 'F' -> format(t, "%Y-%m-%d");
            case 'G' -> String.valueOf(t.get(IsoFields.WEEK_BASED_YEAR));
            case 'H' -> "%02d".formatted(t.getHour());
            case 'I' -> "%02d".formatted(t.get(ChronoField.CLOCK_HOUR_OF_AMPM));
            case 'j' -> "%03d".formatted(t.getDayOfYear());
            case 'm' -> "%02d".formatted(t.getMonthValue());
            case 'M' -> "%02d".formatted(t.getMinute());
            case 'n' -> "\n";
            case 'p' -> t.getHour() < 12 ? "AM" : "PM";
            case 'r' -> format(t, "%I:%M:%S %p");
            case 'R' -> format(t, "%H:%M");
            case 'S' -> "%02d".formatted(t.getSecond());
            case 't' -> "\t";
            case 'T', 'X' -> format(t, "%H:%M:%S");
            case 'u' -> String.valueOf(t.getDayOfWeek().getValue());
            case 'U' ->
                "%02d".formatted((t.getDayOfYear() + 6 - t.getDayOfWeek().getValue() % 7) / 7);
            case 'V' -> "%02d".formatted(t.get(IsoFields.WEEK_OF_WEEK_BASED_YEAR));
            case 'w' -> String.valueOf(t.getDayOfWeek().getValue() % 7);
            case 'W' ->
                "%02d".formatted((t.getDayOfYear() + 6 - (t.getDayOfWeek().getValue() + 6) % 7) / 7);
            case 'y' -> "%02d".formatted(t.getYear() % 100);
            case 'Y' -> String.valueOf(t.getYear());
            case 'z', 'Z' -> "";
            case '%' -> "%";
            default -> "%" + code;
        };
    }
}
