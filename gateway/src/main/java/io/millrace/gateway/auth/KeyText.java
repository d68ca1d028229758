package io.millrace.gateway.auth;

import java.security.SecureRandom;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * The text of a key as clients send it: {@code mr_ID_SECRET}.
 *
 * @param id which key it is: 12 letters and digits
 * @param secret 43 letters and digits, 256 random bits
 */
public record KeyText(String id, String secret) {

    private static final String ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    private static final int ID_LENGTH = 12;
    private static final int SECRET_LENGTH = 43;
    private static final Pattern FORM =
            Pattern.compile("mr_([0-9A-Za-z]{" + ID_LENGTH + "})_([0-9A-Za-z]{" + SECRET_LENGTH + "})");

    static KeyText random(SecureRandom random) {
        return new KeyText(letters(random, ID_LENGTH), letters(random, SECRET_LENGTH));
    }

    /** Null for what is no such key. */
    static @Nullable KeyText parse(String text) {
        Matcher form = FORM.matcher(text);
        return form.matches() ? new KeyText(form.group(1), form.group(2)) : null;
    }

    /** The whole key: to be shown once, and never kept. */
    public String whole() {
        return "mr_" + id + "_" + secret;
    }

    /** Without the secret. */
    @Override
    public String toString() {
        return "mr_" + id + "_…";
    }

    private static String letters(SecureRandom random, int count) {
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < count; i++) {
            text.append(ALPHABET.charAt(random.nextInt(ALPHABET.length())));
        }
        return text.toString();
    }
}
