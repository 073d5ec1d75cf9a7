"""What several rooms use: bundles between units, pipelines, counters, queues, tables and reciprocals."""
