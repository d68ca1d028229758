# Millrace in a container: the jars that ./millrace build makes, on any image with a JRE 25.
#   ./millrace image-context && docker build -t millrace .
ARG BASE=eclipse-temurin:25-jre
FROM ${BASE}
COPY target/image/lib /opt/millrace/lib
ENV MILLRACE_HOME=/var/lib/millrace MILLRACE_CACHE=/var/lib/millrace/models OPT_OUT_TRACKING=true
VOLUME /var/lib/millrace
# In the exec form, so that SIGTERM reaches Java.
ENTRYPOINT ["java", "-XX:MaxRAMPercentage=40", "--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow", "-cp", "/opt/millrace/lib/*", "io.millrace.standalone.Main"]
