/* config_private.h: the two parts of config.json that need more than a getter. */
#ifndef FOV_MODEL_CONFIG_PRIVATE_H
#define FOV_MODEL_CONFIG_PRIVATE_H

#include "core/json.h"
#include "model/config.h"

enum { FOV_MAX_LABELS = 1 << 20 };

/* Fill config->labels and label_names from id2label, else label2id, else num_labels, else 2. */
fov_status fov_config_read_labels(fov_config *config, const fov_json *json);
/* Fill config->attention from the `attention` object or Longformer's attention_window. */
fov_status fov_config_read_attention(fov_config *config, const fov_json *json);

#endif
