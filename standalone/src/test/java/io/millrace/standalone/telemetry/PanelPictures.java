package io.millrace.standalone.telemetry;

import java.awt.BasicStroke;
import java.awt.Color;
import java.awt.Font;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.geom.Path2D;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import javax.imageio.ImageIO;

/** Draws the panels of a dashboard from Prometheus' samples: plain lines, as no Grafana is at hand. */
public final class PanelPictures {

    private static final int WIDTH = 460;
    private static final int HEIGHT = 170;
    private static final int LEFT = 62;
    private static final int TOP = 24;
    private static final int BOTTOM = 34;
    private static final Color PAPER = new Color(0x16, 0x1b, 0x22);
    private static final Color INK = new Color(0xc9, 0xd1, 0xd9);
    private static final Color FAINT = new Color(0x3a, 0x42, 0x4c);
    private static final List<Color> LINES = List.of(
            new Color(0x58, 0xa6, 0xff),
            new Color(0x7e, 0xe7, 0x87),
            new Color(0xff, 0xa6, 0x57),
            new Color(0xd2, 0xa8, 0xff),
            new Color(0xff, 0x7b, 0x72),
            new Color(0xf7, 0x78, 0xba),
            new Color(0xf2, 0xcc, 0x60));

    /** Samples of one series: seconds since the epoch, values. */
    public record Line(String name, double[] times, double[] values) {

        /** Its largest finite value; negative when it has none. */
        double most() {
            return Arrays.stream(values).filter(Double::isFinite).max().orElse(-1);
        }
    }

    public record Panel(String title, String unit, List<Line> lines) {}

    private PanelPictures() {}

    /** Two panels a row. */
    public static void draw(List<Panel> panels, Path file) throws IOException {
        int rows = (panels.size() + 1) / 2;
        var image = new BufferedImage(2 * WIDTH, rows * HEIGHT, BufferedImage.TYPE_INT_RGB);
        Graphics2D g = image.createGraphics();
        g.setRenderingHint(RenderingHints.KEY_ANTIALIASING, RenderingHints.VALUE_ANTIALIAS_ON);
        g.setRenderingHint(RenderingHints.KEY_TEXT_ANTIALIASING, RenderingHints.VALUE_TEXT_ANTIALIAS_ON);
        g.setColor(PAPER);
        g.fillRect(0, 0, image.getWidth(), image.getHeight());
        for (int i = 0; i < panels.size(); i++) {
            Graphics2D one = (Graphics2D) g.create((i % 2) * WIDTH, (i / 2) * HEIGHT, WIDTH, HEIGHT);
            panel(one, panels.get(i));
            one.dispose();
        }
        g.dispose();
        ImageIO.write(image, "png", file.toFile());
    }

    /** The largest series first, so that the legend names what can be seen; those without a value are left out. */
    private static void panel(Graphics2D g, Panel whole) {
        Panel panel = new Panel(
                whole.title(),
                whole.unit(),
                whole.lines().stream()
                        .filter(line -> line.most() >= 0)
                        .sorted(Comparator.comparingDouble(Line::most).reversed())
                        .toList());
        g.setColor(FAINT);
        g.drawRect(2, 2, WIDTH - 5, HEIGHT - 5);
        g.setFont(new Font(Font.SANS_SERIF, Font.BOLD, 12));
        g.setColor(INK);
        g.drawString(panel.title(), 10, 17);
        double from = Double.MAX_VALUE;
        double to = -Double.MAX_VALUE;
        double most = 0;
        for (Line line : panel.lines()) {
            for (int i = 0; i < line.times().length; i++) {
                from = Math.min(from, line.times()[i]);
                to = Math.max(to, line.times()[i]);
                most = Double.isFinite(line.values()[i]) ? Math.max(most, line.values()[i]) : most;
            }
        }
        most = most == 0 ? 1 : most * 1.1;
        int width = WIDTH - LEFT - 12;
        int height = HEIGHT - TOP - BOTTOM;
        g.setFont(new Font(Font.SANS_SERIF, Font.PLAIN, 10));
        for (int i = 0; i <= 2; i++) {
            int y = TOP + height - i * height / 2;
            g.setColor(FAINT);
            g.drawLine(LEFT, y, LEFT + width, y);
            g.setColor(INK);
            g.drawString(label(most * i / 2, panel.unit()), 8, y + 4);
        }
        int x = 10;
        for (int i = 0; i < panel.lines().size(); i++) {
            Line line = panel.lines().get(i);
            g.setColor(LINES.get(i % LINES.size()));
            g.setStroke(new BasicStroke(1.5f));
            g.draw(path(line, from, Math.max(from + 1, to), most, width, height));
            String name = line.name().length() > 34 ? line.name().substring(0, 33) + "…" : line.name();
            if (x + g.getFontMetrics().stringWidth(name) < WIDTH - 14) {
                g.drawString(name, x, HEIGHT - 12);
                x += g.getFontMetrics().stringWidth(name) + 12;
            }
        }
    }

    private static Path2D path(Line line, double from, double to, double most, int width, int height) {
        var path = new Path2D.Double();
        boolean pen = false;
        for (int i = 0; i < line.times().length; i++) {
            if (!Double.isFinite(line.values()[i])) {
                pen = false;
                continue;
            }
            double x = LEFT + (line.times()[i] - from) / (to - from) * width;
            double y = TOP + height - line.values()[i] / most * height;
            if (pen) {
                path.lineTo(x, y);
            } else {
                path.moveTo(x, y);
                pen = true;
            }
        }
        return path;
    }

    private static String label(double value, String unit) {
        return switch (unit) {
            case "s" ->
                value < 1
                        ? String.format(Locale.ROOT, "%.1f ms", value * 1_000)
                        : String.format(Locale.ROOT, "%.1f s", value);
            case "percentunit" -> String.format(Locale.ROOT, "%.0f %%", value * 100);
            default ->
                value >= 10_000
                        ? String.format(Locale.ROOT, "%.0fk", value / 1_000)
                        : String.format(Locale.ROOT, value < 10 ? "%.2f" : "%.0f", value);
        };
    }
}
