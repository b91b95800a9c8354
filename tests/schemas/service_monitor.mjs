// Checks a ServiceMonitor, JSON on the standard input, against the schema of Prometheus' operator.
import { text } from "node:stream/consumers";
import { ServiceMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor";

new ServiceMonitor(JSON.parse(await text(process.stdin))).validate();
