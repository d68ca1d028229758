package io.millrace.worker.text.jinja;

/**
 * What one rendering may use, so that no template hangs or exhausts the memory.
 *
 * @param outputCharsMax length of the output, and of any string made on the way
 * @param stepsMax expressions and statements evaluated; work on long values counts as several
 * @param allocationMax characters made in all; an element of a list counts as eight
 */
public record TemplateLimits(int outputCharsMax, long stepsMax, long allocationMax) {

    /** 16 Mi characters, 5 million steps, 256 Mi characters in all. */
    public static final TemplateLimits DEFAULT = new TemplateLimits(16 << 20, 5_000_000, 256L << 20);
}
